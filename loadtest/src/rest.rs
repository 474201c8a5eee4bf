//! A small HTTP/1.1 client for setting a run up: one connection kept alive, one request at a time, JSON bodies.

use crate::net::NodeAddress;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A call that takes longer is a failure of the set-up.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Answers of the calls made here are far smaller.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

pub struct Rest {
    node: NodeAddress,
    stream: Option<BufReader<TcpStream>>,
}

pub struct Response {
    pub status: u16,
    pub body: Value,
}

impl Rest {
    pub fn new(node: NodeAddress) -> Self {
        Self { node, stream: None }
    }

    /// POSTs a JSON body below `/api/v1`. A kept-alive connection that the server has closed meanwhile is replaced once.
    pub fn post(&mut self, path: &str, token: Option<&str>, body: &Value) -> Result<Response, String> {
        let is_kept = self.stream.is_some();
        match self.call(path, token, body) {
            Err(_) if is_kept => {
                self.stream = None;
                self.call(path, token, body)
            }
            answered => answered,
        }
        .map_err(|error| format!("POST {path}: {error}"))
    }

    fn call(&mut self, path: &str, token: Option<&str>, body: &Value) -> Result<Response, String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.node)?,
        };
        let body = body.to_string();
        let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "POST /api/v1{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{authorization}\r\n{body}",
            self.node.host,
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let (response, is_kept) = read_response(&mut stream)?;
        if is_kept {
            self.stream = Some(stream);
        }
        Ok(response)
    }
}

fn connect(node: &NodeAddress) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect(node.address).map_err(|error| format!("{}: {error}", node.address))?;
    stream.set_read_timeout(Some(CALL_TIMEOUT)).map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(BufReader::new(stream))
}

/// Reads one answer; the flag says whether the connection can be used again.
fn read_response(stream: &mut impl std::io::BufRead) -> Result<(Response, bool), String> {
    let status_line = read_line(stream)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("no HTTP answer: {status_line}"))?;
    let mut length = None;
    let mut is_chunked = false;
    let mut is_kept = true;
    loop {
        let line = read_line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => is_kept = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let bytes = if is_chunked { read_chunks(stream)? } else { read_exactly(stream, length.unwrap_or(0))? };
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Ok((Response { status, body }, is_kept))
}

fn read_line(stream: &mut impl std::io::BufRead) -> Result<String, String> {
    let mut line = String::new();
    let length = stream.take(64 * 1024).read_line(&mut line).map_err(|error| error.to_string())?;
    if length == 0 {
        return Err("the connection was closed".into());
    }
    Ok(line.trim_end().to_owned())
}

fn read_chunks(stream: &mut impl std::io::BufRead) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(|error| format!("chunk {digits}: {error}"))?;
        body.extend(read_exactly(stream, length)?);
        read_line(stream).or_else(|error| if length == 0 { Ok(String::new()) } else { Err(error) })?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut impl std::io::BufRead, length: usize) -> Result<Vec<u8>, String> {
    if length > BODY_BYTES_MAX {
        return Err(format!("a body of {length} bytes"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read_one_after_the_other() {
        let mut bytes: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 8\r\n\r\n{\"a\": 1}HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n4\r\n{\"b\"\r\n4;x=y\r\n: 2}\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        let (first, is_kept) = read_response(&mut bytes).unwrap();
        assert_eq!((first.status, first.body["a"].as_u64(), is_kept), (201, Some(1), true));
        let (second, is_kept) = read_response(&mut bytes).unwrap();
        assert_eq!((second.status, second.body["b"].as_u64(), is_kept), (200, Some(2), false));
        let (third, _) = read_response(&mut bytes).unwrap();
        assert_eq!((third.status, third.body), (204, Value::Null));
        assert!(read_response(&mut bytes).is_err());
    }
}
