//! Messages of a client. The parser reads frames that are whole or not at all, so it is never dropped in between but at the end; while
//! no frame is begun there is no parser and no buffer, only a socket that may become readable.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, after_handshake_split};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::defragment::{Fragments, MESSAGE_BYTES_MAX};
use super::meter::Meter;
use crate::protocol::codes::CloseCode;

/// Payload of a control frame.
pub type Control = SmallVec<[u8; 16]>;

/// What a client sent.
#[derive(Debug)]
pub enum Incoming {
    /// A whole text message, valid UTF-8.
    Text(BytesMut),
    Ping(Control),
    Pong(Control),
    /// With the client's code.
    Close(Option<u16>),
}

/// Why no more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// The socket is gone, without a close frame.
    Gone,
    /// The client broke the protocol.
    Refused(CloseCode),
}

pub struct Reader<'a> {
    tcp: &'a TcpStream,
    /// What hyper had read beyond the request.
    leftover: Bytes,
    parser: Option<Box<Parser<'a>>>,
    fragments: Fragments,
}

struct Parser<'a> {
    frames: WebSocketRead<Metered<'a>>,
    meter: std::sync::Arc<parking_lot::Mutex<Meter>>,
    taken: u64,
}

/// The socket, with a look at what passes.
struct Metered<'a> {
    tcp: &'a TcpStream,
    leftover: Bytes,
    meter: std::sync::Arc<parking_lot::Mutex<Meter>>,
}

impl AsyncRead for Metered<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.leftover.is_empty() {
            loop {
                ready!(self.tcp.poll_read_ready(cx))?;
                match read_some(self.tcp, buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(()) => break,
                }
            }
        } else {
            let length = self.leftover.len().min(buf.remaining());
            buf.put_slice(self.leftover.get(..length).unwrap_or_default());
            self.leftover.advance(length);
        }
        self.meter.lock().pass(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

/// One system call. What did not fill the buffer has emptied the socket: then it counts as not readable until more comes, without
/// a second call to find that out (nor a parser for it). tokio's own `poll_read` does the same, but wants the socket for itself.
fn read_some(tcp: &TcpStream, buf: &mut ReadBuf<'_>) -> io::Result<()> {
    let room = buf.remaining();
    let mut read = None;
    // The readiness that is cleared is the one seen before the read: what came since stays.
    let outcome = tcp.try_io(Interest::READABLE, || {
        let length = tcp.try_read_buf(buf)?;
        read = Some(length);
        if length > 0 && length < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    if read.is_some() { Ok(()) } else { outcome }
}

impl<'a> Reader<'a> {
    pub fn new(tcp: &'a TcpStream, leftover: Bytes) -> Self {
        Self { tcp, leftover, parser: None, fragments: Fragments::default() }
    }

    /// The next message or control frame. Not cancel-safe: drop it only with the reader.
    pub async fn next(&mut self) -> Result<Incoming, ReadEnd> {
        loop {
            if self.parser.is_none() {
                if self.leftover.is_empty() {
                    self.tcp.readable().await.map_err(|_| ReadEnd::Gone)?;
                }
                self.parser = Some(Box::new(self.new_parser()));
            }
            let Some(parser) = &mut self.parser else { continue };
            let read = parser.frames.read_frame(&mut never_sends).await;
            let read = read.map(|frame| (frame.fin, frame.opcode, owned(frame.payload)));
            let meter = *parser.meter.lock();
            parser.taken += 1;
            if meter.has_unmasked {
                return Err(ReadEnd::Refused(CloseCode::ProtocolError));
            }
            if meter.is_between_frames() && meter.frames == parser.taken {
                self.parser = None;
            }
            let (is_final, opcode, payload) = read.map_err(|error| end_of(&error))?;
            if let Some(incoming) = self.take(is_final, opcode, payload).map_err(ReadEnd::Refused)? {
                return Ok(incoming);
            }
        }
    }

    fn new_parser(&mut self) -> Parser<'a> {
        let meter = std::sync::Arc::new(parking_lot::Mutex::new(Meter::default()));
        let leftover = std::mem::take(&mut self.leftover);
        let metered = Metered { tcp: self.tcp, leftover, meter: std::sync::Arc::clone(&meter) };
        let (mut frames, _) = after_handshake_split(metered, tokio::io::sink(), Role::Server);
        // The parser refuses what is as large as its limit.
        frames.set_max_message_size(MESSAGE_BYTES_MAX + 1);
        frames.set_auto_pong(false);
        frames.set_auto_close(false);
        Parser { frames, meter, taken: 0 }
    }

    fn take(&mut self, is_final: bool, opcode: OpCode, payload: BytesMut) -> Result<Option<Incoming>, CloseCode> {
        match opcode {
            OpCode::Text => Ok(self.fragments.text(is_final, payload)?.map(Incoming::Text)),
            OpCode::Continuation => Ok(self.fragments.continuation(is_final, &payload)?.map(Incoming::Text)),
            OpCode::Binary => Err(CloseCode::Unsupported),
            _ if payload.len() > 125 => Err(CloseCode::ProtocolError),
            OpCode::Ping => Ok(Some(Incoming::Ping(Control::from_slice(&payload)))),
            OpCode::Pong => Ok(Some(Incoming::Pong(Control::from_slice(&payload)))),
            OpCode::Close => close_of(&payload).map(|code| Some(Incoming::Close(code))),
        }
    }
}

/// The parser would send answers to Pings and closes with this, were it told to.
fn never_sends(_: Frame<'_>) -> std::future::Ready<Result<(), io::Error>> {
    std::future::ready(Ok(()))
}

fn owned(payload: Payload<'_>) -> BytesMut {
    match payload {
        Payload::Bytes(bytes) => bytes,
        other => BytesMut::from(&other[..]),
    }
}

fn close_of(payload: &[u8]) -> Result<Option<u16>, CloseCode> {
    match payload {
        [] => Ok(None),
        [_] => Err(CloseCode::ProtocolError),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(CloseCode::ProtocolError);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(CloseCode::InvalidUtf8);
            }
            Ok(Some(code))
        }
    }
}

fn end_of(error: &WebSocketError) -> ReadEnd {
    match error {
        WebSocketError::FrameTooLarge => ReadEnd::Refused(CloseCode::TooBig),
        WebSocketError::InvalidUTF8 => ReadEnd::Refused(CloseCode::InvalidUtf8),
        WebSocketError::UnexpectedEOF | WebSocketError::ConnectionClosed | WebSocketError::IoError(_) => ReadEnd::Gone,
        _ => ReadEnd::Refused(CloseCode::ProtocolError),
    }
}
