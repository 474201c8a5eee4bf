//! The HTTP/1.1 request that turns a connection into a WebSocket, and the check of its answer.

use std::net::{SocketAddr, ToSocketAddrs};

/// The key of RFC 6455's own example, so that the answer is known without a hash.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Where a node takes clients.
#[derive(Clone, Debug)]
pub struct NodeAddress {
    pub address: SocketAddr,
    /// As in the `Host` header.
    pub host: String,
    pub path: String,
}

impl NodeAddress {
    /// From a `ws://host:port/path`.
    pub fn parse(ws_url: &str) -> Result<Self, String> {
        let rest = ws_url.strip_prefix("ws://").ok_or_else(|| format!("{ws_url}: only ws:// is spoken here"))?;
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) => (host, format!("/{path}")),
            None => (rest, "/ws".to_owned()),
        };
        let address = host
            .to_socket_addrs()
            .map_err(|error| format!("{host}: {error}"))?
            .min_by_key(SocketAddr::is_ipv6)
            .ok_or_else(|| format!("{host}: no address"))?;
        Ok(Self { address, host: host.to_owned(), path })
    }

    /// The upgrade request, with the token in its header where one is given.
    pub fn upgrade_request(&self, bearer: Option<&str>) -> Vec<u8> {
        let authorization = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{authorization}\r\n",
            self.path, self.host
        )
        .into_bytes()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Upgrade {
    Incomplete,
    /// So many bytes were the answer; frames follow.
    Accepted(usize),
    Refused(String),
}

/// Reads the answer to the upgrade request.
pub fn read_upgrade(bytes: &[u8]) -> Upgrade {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Upgrade::Incomplete;
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        return Upgrade::Refused(format!("upgrade refused: {status}"));
    }
    let accepts = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT);
    if accepts {
        Upgrade::Accepted(end + 4)
    } else {
        Upgrade::Refused("upgrade with a wrong Sec-WebSocket-Accept".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nSEC-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn an_upgrade_is_accepted_once_its_head_is_whole() {
        for cut in 0..ANSWER.len() {
            assert_eq!(read_upgrade(&ANSWER.as_bytes()[..cut]), Upgrade::Incomplete);
        }
        let with_frame = format!("{ANSWER}\u{1}\u{0}");
        assert_eq!(read_upgrade(with_frame.as_bytes()), Upgrade::Accepted(ANSWER.len()));
    }

    #[test]
    fn other_answers_are_refusals() {
        let unavailable = read_upgrade(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(unavailable, Upgrade::Refused("upgrade refused: HTTP/1.1 503 Service Unavailable".into()));
        let forged = ANSWER.replace("s3pP", "xxxx");
        assert!(matches!(read_upgrade(forged.as_bytes()), Upgrade::Refused(_)));
    }

    #[test]
    fn addresses_are_parsed_from_urls() {
        let node = NodeAddress::parse("ws://127.0.0.1:8080/ws").unwrap();
        assert_eq!((node.address.port(), node.path.as_str()), (8080, "/ws"));
        assert_eq!(NodeAddress::parse("ws://127.0.0.1:1").unwrap().path, "/ws");
        assert!(NodeAddress::parse("wss://127.0.0.1:1").is_err());
        let request = String::from_utf8(node.upgrade_request(Some("t"))).unwrap();
        assert!(
            request.contains("\r\nHost: 127.0.0.1:8080\r\n") && request.ends_with("Authorization: Bearer t\r\n\r\n")
        );
    }
}
