# What there is to do here. `just ci` is what has to pass; each recipe is one
# plain command, so none of it needs just.

# List the recipes.
default:
    @just --list

# Format the sources.
fmt:
    cargo fmt

# Check format, lints and scripts.
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    shellcheck .ci/run tests/run

# Run all tests, or those whose name has this in it.
test *ARGS:
    ./tests/run {{ARGS}}

# Build the documentation of the library.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# Measure what the README says about speed.
bench *ARGS:
    cargo bench --locked --bench overhead --bench queue --bench probe -- {{ARGS}}

# Install cb into ~/.cargo/bin.
install:
    cargo install --path . --locked

# Write the committed completion scripts anew.
completions:
    cargo build --locked
    cargo run --locked --quiet -- completions bash >completions/cb.bash
    cargo run --locked --quiet -- completions zsh >completions/_cb
    cargo run --locked --quiet -- completions fish >completions/cb.fish
    cargo run --locked --quiet -- completions elvish >completions/cb.elv
    cargo run --locked --quiet -- completions powershell >completions/cb.ps1

# Write the manual pages to target/man.
man:
    cargo run --locked --quiet -- man --dir target/man

# All that has to pass.
ci:
    ./.ci/run
