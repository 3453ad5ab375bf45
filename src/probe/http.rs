//! Pages of web servers: a request, redirects as far as they are wanted, and an
//! answer that is as expected or not.
//!
//! Invariants: what a person gave to be sent goes to the origin of the URL that was
//! given, and to no other. Nothing of an answer is believed or kept beyond a bound.

mod exchange;
mod expect;
mod heard;
mod pointer;
mod request;
mod retry_after;
#[cfg(test)]
mod tests;

use hyper::header::LOCATION;
use hyper::{Method, StatusCode};
use url::Url;

use super::report::{Detail, HttpDetail, Verdict};
use super::{Found, Spec, spec, tls};
use crate::model::text::excerpt;
use crate::net::{Net, Trace, Trouble};
use exchange::Answer;
use request::{Given, Page};

/// URLs have a bound where they are told.
const URL_CHARS_MAX: usize = 300;

/// Asks for a page, and judges the answer.
pub(super) async fn look(
    it: &spec::Http,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Found, Trouble> {
    let given = Given::read(it).await?;
    let mut page = Page::first(it)?;
    let mut redirects = 0;
    loop {
        let answer = exchange::ask(&page, it, &given, spec, net, trace).await?;
        let target = redirect(&answer);
        let wanted = match target {
            Some(_) if it.redirects_max == 0 => None,
            target => target,
        };
        let Some(target) = wanted else {
            return judge(it, answer, &page, redirects, trace).await;
        };
        redirects += 1;
        let why = match page.follow(&target, answer.status()) {
            Ok(next) if redirects <= it.redirects_max => {
                page = next;
                continue;
            }
            Ok(next) => {
                let max = it.redirects_max;
                format!("more redirects than {max}, the last to {}", shown(&next.url))
            }
            Err(why) => format!("HTTP {}, {why}", answer.status().as_u16()),
        };
        trace.leave();
        let found = Found { verdict: Verdict::Unhealthy, ..Found::healthy(why) };
        return Ok(Found { detail: detail(&answer, &page, redirects - 1, 0), ..found });
    }
}

/// Where an answer wants to be looked for.
fn redirect(answer: &Answer) -> Option<String> {
    let follows = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = answer.headers().get(LOCATION).filter(|_| follows)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

async fn judge(
    it: &spec::Http,
    mut answer: Answer,
    page: &Page,
    redirects: u32,
    trace: &Trace,
) -> Result<Found, Trouble> {
    let retry_after = retry_after::asked(answer.status(), answer.headers());
    let early = expect::status(it, &answer, &page.url)
        .or_else(|| expect::headers(it, answer.headers()))
        .or_else(|| answer.facts().and_then(|facts| tls::too_old(facts, it.days_min)));
    let (why, words, body_bytes) = match early {
        // The rest would say nothing more.
        Some(why) => (Some(why), String::new(), 0),
        None => {
            let body = answer.read(it).await?;
            let words = match body.is_whole {
                true => format!("HTTP {}", answer.status().as_u16()),
                false => {
                    let (status, len) = (answer.status().as_u16(), body.len);
                    format!("HTTP {status}, the first {len} bytes of the body read")
                }
            };
            (expect::body(it, &body).await, words, body.len)
        }
    };
    trace.leave();
    let detail = detail(&answer, page, redirects, body_bytes);
    answer.bid_farewell().await;
    let found = match why {
        None => Found::healthy(words),
        Some(why) => Found { verdict: Verdict::Unhealthy, ..Found::healthy(why) },
    };
    Ok(Found { retry_after, detail, ..found })
}

fn detail(answer: &Answer, page: &Page, redirects: u32, body_bytes: u64) -> Detail {
    let http = HttpDetail {
        status: answer.status().as_u16(),
        version: match answer.version() {
            hyper::Version::HTTP_2 => "HTTP/2".to_owned(),
            other => format!("{other:?}"),
        },
        url: shown(&page.url),
        redirects,
        body_bytes,
    };
    let tls = answer.facts().cloned().map(tls::detail);
    Detail { http: Some(http), tls, ..Detail::default() }
}

/// A URL as people may see it, within a bound.
fn shown(url: &Url) -> String {
    excerpt(&spec::shown(url), URL_CHARS_MAX)
}

/// Where a redirect leads, as people may see it.
fn shown_from(url: &Url, location: &str) -> String {
    match url.join(location) {
        Ok(to) if to.has_host() => shown(&to),
        // What is no page is told as it is, up to what may be a secret.
        _ if location.contains('@') => "...".to_owned(),
        _ => {
            let end = location.find(['?', '#']).unwrap_or(location.len());
            excerpt(&location[..end], URL_CHARS_MAX)
        }
    }
}

/// Whether an answer to such a request has no body, whatever it says.
fn is_bodiless(method: &Method) -> bool {
    *method == Method::HEAD
}
