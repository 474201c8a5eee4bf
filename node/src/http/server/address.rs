//! Who is at the other end: the peer's address, or what a trusted proxy says about it.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// Address of the client, as far as it can be trusted. An extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// True if the request came to a trusted proxy by https. An extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsHttps(pub bool);

/// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<(IpAddr, u8)>);

impl TrustedProxies {
    /// From `address` or `address/prefix`; the first that is neither is the error.
    pub fn parse(networks: &[String]) -> Result<Self, String> {
        networks
            .iter()
            .map(|network| parse_network(network).ok_or_else(|| network.clone()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(network, prefix)| is_within(address.to_canonical(), *network, *prefix))
    }

    /// Walks `X-Forwarded-For` from its end, where the nearest proxy wrote, to the first address that is no trusted proxy.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        let lists: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        for hop in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        client
    }

    pub fn is_https(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        self.contains(peer)
            && headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
    }
}

fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.trim().split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text.trim(), None),
    };
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(bits);
    (prefix <= bits).then_some((address, prefix))
}

fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32_u32.saturating_sub(u32::from(prefix));
            address.to_bits().checked_shr(shift).unwrap_or(0) == network.to_bits().checked_shr(shift).unwrap_or(0)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128_u32.saturating_sub(u32::from(prefix));
            address.to_bits().checked_shr(shift).unwrap_or(0) == network.to_bits().checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies =
            TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "::1".to_owned(), "192.168.1.7".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("1.2.3.4", &["5.6.7.8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, 5.6.7.8"]), "5.6.7.8");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, 5.6.7.8, 10.1.1.1"]), "5.6.7.8");
        assert_eq!(client("10.0.0.1", &["9.9.9.9", "5.6.7.8"]), "5.6.7.8");
        assert_eq!(client("::1", &["2001:db8::5"]), "2001:db8::5");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["5.6.7.8"]), "5.6.7.8");
        assert!(TrustedProxies::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
