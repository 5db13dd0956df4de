//! Downloads over HTTP: resumed where they broke off, given up where the server is silent.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, header};
use ureq::{Agent, Body};

use super::Hub;
use super::folder::RecordFile;
use super::part::{Part, Wanted};
use crate::error::{Error, Result};

/// The hub's list of files: repositories with thousands of files stay below this.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A network that swallows what is not allowed should not hold up the next source for long.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Why an attempt ended.
enum Failure {
    /// Another attempt may do better: silence, a broken connection, a busy server.
    Passing(String),
    /// It will not.
    Final(Error),
}

/// Fetches one file. `progress` gets the bytes so far and in all.
pub fn download(
    hub: &Hub,
    url: &str,
    wanted: &Wanted,
    folder: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<RecordFile> {
    check_online(hub)?;
    let agent = agent(hub);
    let mut part = Part::open(folder, wanted, true)?;
    let mut n_fruitless = 0;
    let mut most = part.done;
    while !part.is_full() {
        match attempt(&agent, hub, url, wanted, &mut part, progress) {
            Ok(()) => break,
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(reason)) => {
                // An attempt that got further earns another one, so that a large file arrives over a
                // bad line; two in a row that did not are the end.
                n_fruitless = if part.done > most { 0 } else { n_fruitless + 1 };
                most = most.max(part.done);
                if n_fruitless == 2 || most == 0 {
                    return Err(Error::file(&wanted.name, reason));
                }
                std::thread::sleep(hub.pause);
            }
        }
    }
    let was_resumed = part.resumed;
    match part.finish() {
        // The older half may be of another version of the file, or damaged: once more from the start.
        Err(_) if was_resumed && wanted.sha256.is_some() => {
            let mut part = Part::open(folder, wanted, false)?;
            match attempt(&agent, hub, url, wanted, &mut part, progress) {
                Ok(()) => part.finish(),
                Err(Failure::Final(error)) => Err(error),
                Err(Failure::Passing(reason)) => Err(Error::file(&wanted.name, reason)),
            }
        }
        finished => finished,
    }
}

/// One request, and its body to the end or to the first trouble.
fn attempt(
    agent: &Agent,
    hub: &Hub,
    url: &str,
    wanted: &Wanted,
    part: &mut Part<'_>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), Failure> {
    let start = part.done;
    let range = (start > 0).then(|| format!("bytes={start}-"));
    let response = get(agent, hub, url, range.as_deref())?;
    match response.status().as_u16() {
        206 if range_start(&response) == Some(start) => {}
        // The whole file, whatever was asked for.
        200 => part.restart().map_err(Failure::Final)?,
        // What is here is no beginning of what the server has.
        206 | 416 if start > 0 => {
            part.restart().map_err(Failure::Final)?;
            return attempt(agent, hub, url, wanted, part, progress);
        }
        status => return Err(refusal(status, &wanted.name, hub)),
    }
    let total = wanted.bytes.or_else(|| Some(part.done.saturating_add(content_length(&response)?)));
    progress(part.done, total);
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n_bytes) => part.write(&buffer[..n_bytes]).map_err(Failure::Final)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Passing(format!("after {} bytes: {error}", part.done))),
        }
        progress(part.done, total);
    }
    match total {
        Some(total) if part.done < total => {
            Err(Failure::Passing(format!("the connection ended after {} of {total} bytes", part.done)))
        }
        _ => Ok(()),
    }
}

/// Asks for a JSON document.
pub fn json(hub: &Hub, url: &str) -> Result<serde_json::Value> {
    check_online(hub)?;
    let what = "list of files";
    let asked = get(&agent(hub), hub, url, None).and_then(|response| match response.status().as_u16() {
        200 => Ok(response),
        status => Err(refusal(status, what, hub)),
    });
    let mut response = asked.map_err(|failure| match failure {
        Failure::Final(error) => error,
        Failure::Passing(reason) => Error::file(what, reason),
    })?;
    let text = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()
        .map_err(|error| Error::file(what, error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| Error::file(what, format!("the answer is not JSON: {error}")))
}

/// A path with what a URL cannot hold escaped; slashes stay.
pub fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn agent(hub: &Hub) -> Agent {
    Agent::config_builder()
        .user_agent(concat!("aquatint/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        // A renamed repository redirects within the hub, a file to a store that must not see the token.
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_resolve(Some(hub.stall.min(CONNECT_TIME_MAX)))
        .timeout_connect(Some(hub.stall.min(CONNECT_TIME_MAX)))
        .timeout_recv_response(Some(hub.stall))
        .timeout_per_read(Some(hub.stall))
        .build()
        .into()
}

fn get(agent: &Agent, hub: &Hub, url: &str, range: Option<&str>) -> Result<Response<Body>, Failure> {
    let mut request = agent.get(url);
    if let Some(token) = &hub.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
    }
    request.call().map_err(|error| Failure::Passing(format!("{url}: {error}")))
}

fn refusal(status: u16, what: &str, hub: &Hub) -> Failure {
    let message = match (status, &hub.token) {
        (401 | 403, None) => format!(
            "HTTP {status}: no such repository, or one that asks to accept its licence or to log in; \
             then set HF_TOKEN to a token of your account on {}",
            hub.url
        ),
        (401 | 403, Some(_)) => format!(
            "HTTP {status}: the token in HF_TOKEN gives no access; accept the licence on the model's page of {}",
            hub.url
        ),
        (404, _) => "HTTP 404: no such file or repository".into(),
        (408 | 429 | 500..=599, _) => {
            return Failure::Passing(format!("HTTP {status}: the server is busy or down"));
        }
        _ => format!("HTTP {status}"),
    };
    Failure::Final(Error::file(what, message))
}

/// The first byte of a partial answer: `Content-Range: bytes 100-199/200` is 100.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_online(hub: &Hub) -> Result<()> {
    match hub.offline {
        true => Err(Error::Input("not asked: HF_HUB_OFFLINE is set".into())),
        false => Ok(()),
    }
}
