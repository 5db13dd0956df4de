//! A small HTTP server on this machine that answers as badly as a test asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// The start of `Range: bytes=START-`.
    pub range: Option<usize>,
    pub authorization: Option<String>,
}

/// What goes out.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The body breaks off after so many bytes.
    n_sent: usize,
    /// Then the connection stays open and silent, instead of being closed.
    is_silent: bool,
}

impl Answer {
    pub fn ok(body: &[u8]) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: body.into(), n_sent: body.len(), is_silent: false }
    }

    pub fn status(status: u16) -> Answer {
        Answer { status, ..Answer::ok(b"") }
    }

    pub fn redirect(to: &str) -> Answer {
        Answer { headers: vec![("Location".into(), to.into())], ..Answer::status(302) }
    }

    /// As servers that know ranges answer.
    pub fn range(body: &[u8], request: &Request) -> Answer {
        match request.range {
            None => Answer::ok(body),
            Some(start) if start >= body.len() => Answer::status(416),
            Some(start) => {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                let headers = vec![("Content-Range".into(), range)];
                Answer { status: 206, headers, ..Answer::ok(&body[start..]) }
            }
        }
    }

    pub fn cut(self, n_sent: usize) -> Answer {
        Answer { n_sent: n_sent.min(self.body.len()), ..self }
    }

    pub fn silent(self) -> Answer {
        Answer { is_silent: true, ..self }
    }
}

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// Answers every request with what `answer` makes of its number (from 0) and content.
    pub fn new(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("this machine has a loopback address");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, over, answer) = (requests.clone(), is_over.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let (seen, over, answer) = (seen.clone(), over.clone(), answer.clone());
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    // The client may hang up at any point.
                    let _ = send(stream, answer(number, &request), &over);
                });
            }
        });
        Server { url: format!("http://{address}"), requests, is_over }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The starts of the ranges asked for, in order.
    pub fn ranges(&self) -> Vec<Option<usize>> {
        self.requests().iter().map(|request| request.range).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut request = Request { path, range: None, authorization: None };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            return Some(request);
        }
        let (name, value) = line.split_once(": ")?;
        match name.to_lowercase().as_str() {
            "range" => request.range = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "authorization" => request.authorization = Some(value.into()),
            _ => {}
        }
    }
    None
}

fn send(mut stream: TcpStream, answer: Answer, over: &AtomicBool) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "Connection: close\r\n\r\n").as_bytes())?;
    stream.write_all(&answer.body[..answer.n_sent])?;
    stream.flush()?;
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(20);
    while answer.is_silent && !over.load(Ordering::Relaxed) && waited < Duration::from_secs(10) {
        std::thread::sleep(step);
        waited += step;
    }
    Ok(())
}
