//! Requests: which page, with what headers and body.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Method, Request, StatusCode, Uri, Version};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{shown, shown_from};
use crate::model::text::excerpt;
use crate::net::{Endpoint, Trouble, file};
use crate::probe::spec::{self, Body, Header};

/// A file of headers is no larger.
const HEADERS_BYTES_MAX: usize = 64 << 10;
/// A body that is sent is no larger.
const BODY_BYTES_MAX: usize = 16 << 20;
const AGENT: &str = concat!("cb/", env!("CARGO_PKG_VERSION"));

/// What a person gave for the request, read from wherever it is. All of it is for
/// the origin of the first URL only: any header may be a secret, and so may a body.
pub(super) struct Given {
    headers: HeaderMap,
    body: Bytes,
}

/// One page, on the way from redirect to redirect.
pub(super) struct Page {
    pub(super) url: Url,
    method: Method,
    with_body: bool,
    /// Whether this is the origin of the first URL.
    pub(super) at_home: bool,
    /// The first URL.
    home: Url,
}

impl Given {
    /// Reads the headers and the body. What lacks is our side's fault.
    pub(super) async fn read(it: &spec::Http) -> Result<Self, Trouble> {
        let mut headers = HeaderMap::new();
        for header in &it.headers {
            match header {
                Header::Given(name, value) => add(&mut headers, name, value.clone())?,
                Header::FromVariable(name, variable) => {
                    add(&mut headers, name, from_variable(variable)?)?;
                }
                Header::FromFile(path) => {
                    let text = file::read(path, HEADERS_BYTES_MAX).await?;
                    from_lines(&text, path, &mut headers)?;
                }
            }
        }
        let body = match &it.body {
            None => Vec::new(),
            Some(Body::Given(body)) => body.clone(),
            Some(Body::FromFile(path)) => file::read(path, BODY_BYTES_MAX).await?,
        };
        Ok(Given { headers, body: body.into() })
    }
}

impl Page {
    /// The page that was asked for.
    pub(super) fn first(it: &spec::Http) -> Result<Self, Trouble> {
        if it.method == Method::CONNECT {
            let why = "CONNECT asks for a tunnel, not for a page: another method is allowed";
            return Err(Trouble::Unknown(why.to_owned()));
        }
        let (url, method) = (it.url.clone(), it.method.clone());
        let with_body = it.body.is_some();
        Ok(Page { home: url.clone(), url, method, with_body, at_home: true })
    }

    /// The page that a redirect leads to, or why it leads nowhere.
    pub(super) fn follow(&self, location: &str, status: StatusCode) -> Result<Self, String> {
        let told = || shown_from(&self.url, location);
        let url = self.url.join(location);
        let url = url.map_err(|_| format!("redirects to what is no URL: '{}'", told()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(format!("redirects to what is no page: '{}'", told()));
        }
        if self.url.scheme() == "https" && url.scheme() == "http" {
            return Err(format!("redirects to {}, which is not encrypted", shown(&url)));
        }
        // As browsers have it, and everybody after them.
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        let at_home = url.origin() == self.home.origin();
        let with_body = self.with_body && !becomes_get;
        if with_body && !at_home {
            return Err(format!("redirects to {}, which is not to have the body", shown(&url)));
        }
        Ok(Page {
            url,
            method: if becomes_get { Method::GET } else { self.method.clone() },
            with_body,
            at_home,
            home: self.home.clone(),
        })
    }

    /// Whom to connect to.
    pub(super) fn endpoint(&self) -> Endpoint {
        let host = match self.url.host() {
            Some(url::Host::Ipv4(address)) => address.to_string(),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(url::Host::Domain(name)) => name.to_owned(),
            None => String::new(),
        };
        Endpoint { host, port: self.url.port_or_known_default().unwrap_or(80) }
    }

    /// Whether to speak TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The request, for one version of HTTP.
    pub(super) fn request(
        &self,
        given: &Given,
        version: Version,
    ) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut headers = HeaderMap::new();
        if self.at_home {
            headers.clone_from(&given.headers);
            if let Some(basic) = self.basic_auth() {
                headers.entry(AUTHORIZATION).or_insert(basic);
            }
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let body = if self.with_body { given.body.clone() } else { Bytes::new() };
        let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(&self.method);
        if body.is_empty() && has_body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let no_uri = || Trouble::Unknown(format!("no URL to ask for: {}", shown(&self.url)));
        let named = || HeaderValue::from_str(&self.authority()).map_err(|_| no_uri());
        let host = match headers.remove(HOST) {
            Some(host) => host,
            None => named()?,
        };
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut uri = Uri::builder().path_and_query(path);
        if version == Version::HTTP_2 {
            uri = uri.scheme(self.url.scheme()).authority(host.as_bytes());
        } else {
            headers.insert(HOST, host);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.build().map_err(|_| no_uri())?;
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The host as the server is to know it.
    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// What the URL itself says of who asks; where a redirect left it out, what the
    /// first one says.
    fn basic_auth(&self) -> Option<HeaderValue> {
        let named = |url: &&Url| !url.username().is_empty() || url.password().is_some();
        let url = [&self.url, &self.home].into_iter().find(named)?;
        let mut who = Vec::from_iter(percent_decode_str(url.username()));
        who.push(b':');
        who.extend(percent_decode_str(url.password().unwrap_or_default()));
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(who))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn add(to: &mut HeaderMap, name: &HeaderName, mut value: HeaderValue) -> Result<(), Trouble> {
    if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
        return Err(Trouble::Unknown(format!("the header {name} follows from the body")));
    }
    value.set_sensitive(true);
    // More of one name than fit are more than a server takes.
    let added = to.try_append(name, value);
    added.map(drop).map_err(|_| Trouble::Unknown("too many headers".to_owned()))
}

fn from_variable(variable: &OsStr) -> Result<HeaderValue, Trouble> {
    let shown = excerpt(&variable.to_string_lossy(), 80);
    let value = env::var_os(variable)
        .ok_or_else(|| Trouble::Unknown(format!("the variable {shown} is not set")))?;
    HeaderValue::from_bytes(value.as_bytes().trim_ascii()).map_err(|_| {
        Trouble::Unknown(format!("the variable {shown} has what no header may have: a line's end"))
    })
}

fn from_lines(text: &[u8], path: &Path, to: &mut HeaderMap) -> Result<(), Trouble> {
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        // The line itself may be a secret.
        let (name, value) = header(line).ok_or_else(|| {
            let (path, at) = (path.display(), at + 1);
            Trouble::Unknown(format!("{path}:{at}: not a header; allowed: 'Name: value'"))
        })?;
        add(to, &name, value)?;
    }
    Ok(())
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}
