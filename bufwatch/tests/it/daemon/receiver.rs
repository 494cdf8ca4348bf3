//! Somebody on loopback who is told something by POST: a webhook, or a receiver of OTLP. Keeps what it is sent, and answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

/// A request comes within it, or not at all.
const LIMIT: Duration = Duration::from_secs(30);

/// What it is sent.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Receiver {
    pub(crate) address: String,
    posted: mpsc::Receiver<Posted>,
}

impl Receiver {
    /// Answers with these statuses, one after the other, and with the last of them from then on.
    pub(crate) fn start(statuses: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, posted) = mpsc::channel();
        let mut status = statuses.iter().copied().cycle().take(statuses.len());
        let mut last = "";
        let answer = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                last = status.next().unwrap_or(last);
                // Who ends in the middle of a request has sent none.
                let Some(request) = answered(stream, last) else { continue };
                if sender.send(request).is_err() {
                    return;
                }
            }
        };
        Builder::new().name("receiver".into()).spawn(answer).unwrap();
        Self { address, posted }
    }

    pub(crate) fn next(&self) -> Posted {
        self.posted.recv_timeout(LIMIT).unwrap()
    }

    /// What it has by now.
    pub(crate) fn try_next(&self) -> Option<Posted> {
        self.posted.try_recv().ok()
    }
}

fn answered(stream: TcpStream, status: &str) -> Option<Posted> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let path = line.strip_prefix("POST ")?.strip_suffix(" HTTP/1.1\r\n")?.to_owned();
    let (mut content_type, mut length) = (String::new(), 0);
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-type" => value.clone_into(&mut content_type),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    stream.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(Posted { path, content_type, body })
}
