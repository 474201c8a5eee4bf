//! Puts fragments of a message together, within a total that the parser's limit per frame does not give (contract 2.6).

use bytes::BytesMut;

use crate::protocol::codes::CloseCode;

/// Greatest message on the wire, all fragments together, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 65_536;
/// Most fragments of one message.
const FRAGMENTS_MAX: u32 = 64;

/// A text message of which the last fragment has not come.
#[derive(Debug, Default)]
pub struct Fragments {
    begun: Option<Box<Begun>>,
}

#[derive(Debug)]
struct Begun {
    bytes: BytesMut,
    count: u32,
}

impl Fragments {
    /// A text frame: the whole message, where it is final. Its UTF-8 was checked then.
    pub fn text(&mut self, is_final: bool, payload: BytesMut) -> Result<Option<BytesMut>, CloseCode> {
        if self.begun.is_some() {
            return Err(CloseCode::ProtocolError);
        }
        if payload.len() > MESSAGE_BYTES_MAX {
            return Err(CloseCode::TooBig);
        }
        if is_final {
            return Ok(Some(payload));
        }
        // Copied: the payload is a window into the parser's buffer, which it would keep alive.
        self.begun = Some(Box::new(Begun { bytes: BytesMut::from(&payload[..]), count: 1 }));
        Ok(None)
    }

    /// A continuation: the whole message, where it is the last.
    pub fn continuation(&mut self, is_final: bool, payload: &[u8]) -> Result<Option<BytesMut>, CloseCode> {
        let mut begun = self.begun.take().ok_or(CloseCode::ProtocolError)?;
        begun.count += 1;
        if begun.bytes.len() + payload.len() > MESSAGE_BYTES_MAX || begun.count > FRAGMENTS_MAX {
            return Err(CloseCode::TooBig);
        }
        begun.bytes.extend_from_slice(payload);
        if !is_final {
            self.begun = Some(begun);
            return Ok(None);
        }
        if std::str::from_utf8(&begun.bytes).is_err() {
            return Err(CloseCode::InvalidUtf8);
        }
        Ok(Some(begun.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> BytesMut {
        BytesMut::from(&vec![b'x'; length][..])
    }

    #[test]
    fn fragments_are_bounded_together() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.text(false, bytes(65_000)), Ok(None));
        assert_eq!(
            fragments.continuation(true, &bytes(536)).map(|whole| whole.map(|whole| whole.len())),
            Ok(Some(65_536))
        );
        assert_eq!(fragments.text(false, bytes(65_000)), Ok(None));
        assert_eq!(fragments.continuation(true, &bytes(537)), Err(CloseCode::TooBig));
    }

    #[test]
    fn sixty_four_fragments_and_no_more() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.text(false, bytes(1)), Ok(None));
        for _ in 0..62 {
            assert_eq!(fragments.continuation(false, b"y"), Ok(None));
        }
        assert!(fragments.continuation(true, b"y").unwrap().is_some());
        assert_eq!(fragments.text(false, bytes(1)), Ok(None));
        for _ in 0..63 {
            assert_eq!(fragments.continuation(false, b"y"), Ok(None));
        }
        assert_eq!(fragments.continuation(true, b"y"), Err(CloseCode::TooBig));
    }

    #[test]
    fn characters_may_be_cut_and_must_be_whole_in_the_end() {
        let mut fragments = Fragments::default();
        let word = "語".as_bytes();
        assert_eq!(fragments.text(false, BytesMut::from(&word[..1])), Ok(None));
        assert_eq!(fragments.continuation(true, &word[1..]), Ok(Some(BytesMut::from(word))));
        assert_eq!(fragments.text(false, BytesMut::from(&word[..1])), Ok(None));
        assert_eq!(fragments.continuation(true, b"x"), Err(CloseCode::InvalidUtf8));
        assert_eq!(fragments.continuation(true, b"x"), Err(CloseCode::ProtocolError));
        assert_eq!(fragments.text(false, bytes(1)), Ok(None));
        assert_eq!(fragments.text(true, bytes(1)), Err(CloseCode::ProtocolError));
    }
}
