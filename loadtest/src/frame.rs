//! WebSocket frames (RFC 6455, section 5.2): client frames are written masked, server frames are read in place.

/// Lengths that stand in the two or eight bytes after.
const LENGTH_IN_2: u8 = 0x7E;
const LENGTH_IN_8: u8 = 0x7F;

/// The bit that says that a key follows.
const MASKED: u8 = 0x80;
/// A fixed masking key. The key protects proxies from hostile pages, which there are none of here;
/// that it is not zero makes the server do the same work as for a browser.
const MASK: [u8; 4] = [0x5d, 0x3a, 0xc7, 0x91];

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// What the bytes at hand begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Frame { opcode: u8, payload: &'a [u8], used: usize },
    Incomplete,
    Broken(&'static str),
}

/// Appends one masked frame with `payload` to `out`.
pub fn write_masked(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    write_head(opcode, payload.len(), out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(written) = out.get_mut(start..) {
        mask(written);
    }
}

/// Appends the head of a masked frame (the key at its end) for a payload of `length` bytes.
fn write_head(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(MASKED | LENGTH_IN_2);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(MASKED | LENGTH_IN_8);
        out.extend_from_slice(&crate::numbers::count(length).to_be_bytes());
    }
    out.extend_from_slice(&MASK);
}

/// Masks or unmasks a payload from its first byte on, eight bytes at a time.
fn mask(payload: &mut [u8]) {
    let [a, b, c, d] = MASK;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(MASK.iter().cycle()) {
        *byte ^= key;
    }
}

/// Reads the server frame that `bytes` begin with. Fragments are refused: no frame of the contract needs them.
pub fn read_server_frame(bytes: &[u8]) -> Step<'_> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else {
        return Step::Incomplete;
    };
    if first & 0x70 != 0 {
        return Step::Broken("reserved bits are set");
    }
    let opcode = first & 0x0F;
    if first & 0x80 == 0 || opcode == 0 {
        return Step::Broken("a fragment");
    }
    if second & 0x80 != 0 {
        return Step::Broken("a masked server frame");
    }
    let (head, length) = match second {
        LENGTH_IN_8 => match rest.first_chunk::<8>() {
            Some(wide) => (10, crate::numbers::index(u64::from_be_bytes(*wide))),
            None => return Step::Incomplete,
        },
        LENGTH_IN_2 => match rest.first_chunk::<2>() {
            Some(wide) => (4, usize::from(u16::from_be_bytes(*wide))),
            None => return Step::Incomplete,
        },
        short => (2, usize::from(short)),
    };
    let Some(end) = length.checked_add(head) else {
        return Step::Broken("a length beyond memory");
    };
    match bytes.get(head..end) {
        Some(payload) => Step::Frame { opcode, payload, used: end },
        None => Step::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The server's side of the framing, only to test ours against: unmasks one client frame.
    fn unmask_as_a_server(frame: &[u8]) -> (u8, Vec<u8>) {
        assert_eq!(frame[0] & 0x80, 0x80, "FIN");
        assert_eq!(frame[1] & 0x80, 0x80, "masked");
        let (head, length) = match frame[1] & 0x7F {
            127 => (10, usize::try_from(u64::from_be_bytes(frame[2..10].try_into().unwrap())).unwrap()),
            126 => (4, usize::from(u16::from_be_bytes(frame[2..4].try_into().unwrap()))),
            short => (2, usize::from(short)),
        };
        let key = &frame[head..head + 4];
        let masked = &frame[head + 4..];
        assert_eq!(masked.len(), length);
        let plain = masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        (frame[0] & 0x0F, plain)
    }

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        if payload.len() < 126 {
            out.push(u8::try_from(payload.len()).unwrap());
        } else if let Ok(medium) = u16::try_from(payload.len()) {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        } else {
            out.push(127);
            out.extend_from_slice(&u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn a_masked_frame_is_read_back_by_a_server_at_every_length_class() {
        for length in [0, 1, 3, 7, 8, 9, 125, 126, 127, 300, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut out = Vec::new();
            write_masked(TEXT, &payload, &mut out);
            assert_eq!(unmask_as_a_server(&out), (TEXT, payload), "length {length}");
        }
    }

    #[test]
    fn the_payload_does_not_travel_in_the_clear() {
        let mut out = Vec::new();
        write_masked(TEXT, b"hello hello hello", &mut out);
        assert!(!out.windows(5).any(|window| window == b"hello"));
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_incomplete() {
        for length in [0, 125, 126, 65_536] {
            let frame = server_frame(TEXT, &vec![b'x'; length]);
            for cut in [0, 1, 2, 3, 5, 9, frame.len() - 1] {
                if cut < frame.len() {
                    assert_eq!(read_server_frame(&frame[..cut]), Step::Incomplete, "{length} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_no_server_may_send_is_named() {
        assert_eq!(read_server_frame(&[0x01, 0x00]), Step::Broken("a fragment"));
        assert_eq!(read_server_frame(&[0x80, 0x00]), Step::Broken("a fragment"));
        assert_eq!(read_server_frame(&[0xC1, 0x00]), Step::Broken("reserved bits are set"));
        assert_eq!(read_server_frame(&[0x81, 0x80]), Step::Broken("a masked server frame"));
        let mut endless = vec![0x81, 127];
        endless.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(read_server_frame(&endless), Step::Broken("a length beyond memory"));
    }

    proptest! {
        #[test]
        fn frames_in_a_row_come_out_as_they_went_in(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8)) {
            let mut bytes = Vec::new();
            for payload in &payloads {
                bytes.extend(server_frame(TEXT, payload));
            }
            let mut rest = bytes.as_slice();
            for expected in &payloads {
                let Step::Frame { opcode, payload, used } = read_server_frame(rest) else { panic!("a frame") };
                prop_assert_eq!(opcode, TEXT);
                prop_assert_eq!(payload, expected.as_slice());
                rest = &rest[used..];
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_server_frame(&bytes);
        }
    }
}
