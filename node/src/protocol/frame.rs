//! A complete WebSocket frame of the server: header (RFC 6455, 5.2; never masked) and payload in one shared buffer, so that it is
//! encoded once however many sessions it goes to.

use bytes::{BufMut, Bytes, BytesMut};

const FIN_TEXT: u8 = 0x81;

/// A whole text frame, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl Frame {
    pub fn text(json: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(json.len() + 10);
        bytes.put_u8(FIN_TEXT);
        match json.len() {
            length @ 0..=125 => bytes.put_u8(u8::try_from(length).unwrap_or_default()),
            length @ 126..=0xffff => {
                bytes.put_u8(126);
                bytes.put_u16(u16::try_from(length).unwrap_or_default());
            }
            length => {
                bytes.put_u8(127);
                bytes.put_u64(u64::try_from(length).unwrap_or_default());
            }
        }
        bytes.put_slice(json);
        Self(bytes.freeze())
    }

    /// A frame of `new_message` with `temp_id` as the last of its data.
    #[must_use]
    pub fn with_temp_id(&self, temp_id: &str) -> Self {
        let Some(open) = self.json().strip_suffix(b"}}") else { return self.clone() };
        let mut json = Vec::with_capacity(open.len() + temp_id.len() + 16);
        json.extend_from_slice(open);
        json.extend_from_slice(br#","temp_id":"#);
        json.extend_from_slice(serde_json::Value::from(temp_id).to_string().as_bytes());
        json.extend_from_slice(b"}}");
        Self::text(&json)
    }

    /// The JSON inside.
    pub fn json(&self) -> &[u8] {
        let header = match self.0.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        self.0.get(header..).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_header_of_its_length() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
            let json = vec![b'x'; length];
            let frame = Frame::text(&json);
            assert_eq!(frame.json(), json.as_slice(), "{length}");
            assert_eq!(frame.0[0], 0x81);
        }
        assert_eq!(&Frame::text(b"{}").0[..], b"\x81\x02{}");
    }
}
