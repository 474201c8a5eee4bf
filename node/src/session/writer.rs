//! Writes a session's queue to its socket: what waits goes out together, at once. Frames are encoded when they come; nothing is copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::hub::handle::{Close, Outgoing, Pinged, SessionHandle, control};
use crate::protocol::codes::CloseCode;

/// Frames in one system call.
const SLICES_MAX: usize = 64;
/// A socket that is closed may take what waits for so long.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a client sends after the close frame is read and dropped for so long, so that the close frame arrives.
const LINGER: Duration = Duration::from_secs(1);

/// What is left to write when a session ends.
pub struct Rest {
    pub close: Close,
    batch: VecDeque<Outgoing>,
    /// Part of the first has been written.
    is_cut: bool,
}

impl Rest {
    /// Nothing but a close frame.
    pub fn of(close: Close) -> Self {
        Self { close, batch: VecDeque::new(), is_cut: false }
    }
}

/// Writes until the session is closed. `ping_later` is called when a Ping is due a little later.
pub async fn write(tcp: &TcpStream, session: &SessionHandle, ping_later: impl Fn()) -> Rest {
    let mut batch = VecDeque::new();
    let mut is_cut = false;
    loop {
        if batch.is_empty()
            && let Some(close) = session.take_queue(&mut batch)
        {
            return Rest { close, batch, is_cut };
        }
        if batch.is_empty() {
            match session.ping() {
                Pinged::Now => continue,
                Pinged::Later => ping_later(),
                Pinged::NotNeeded => {}
            }
            // Nothing is kept while the session is idle.
            batch = VecDeque::new();
            session.wake.notified().await;
            continue;
        }
        match write_some(tcp, &mut batch, &mut is_cut) {
            Ok((total, counted)) => session.written(total, counted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::select! {
                    ready = tcp.writable() => {
                        if ready.is_err() {
                            return Rest::of(Close::Cut);
                        }
                    }
                    () = session.wake.notified() => {
                        if let Some(close) = session.close_of() {
                            let mut later = VecDeque::new();
                            session.take_queue(&mut later);
                            batch.append(&mut later);
                            return Rest { close, batch, is_cut };
                        }
                    }
                }
            }
            Err(_) => {
                session.close_as(Close::Cut);
                return Rest::of(Close::Cut);
            }
        }
    }
}

/// One system call. Answers the bytes written, and those of them that count for 4030.
fn write_some(tcp: &TcpStream, batch: &mut VecDeque<Outgoing>, is_cut: &mut bool) -> io::Result<(usize, usize)> {
    let slices: SmallVec<[IoSlice<'_>; SLICES_MAX]> =
        batch.iter().take(SLICES_MAX).map(|outgoing| IoSlice::new(&outgoing.bytes)).collect();
    let written = tcp.try_write_vectored(&slices)?;
    drop(slices);
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let (mut left, mut counted) = (written, 0);
    while left > 0 {
        let Some(first) = batch.front_mut() else { break };
        let part = left.min(first.bytes.len());
        left -= part;
        if first.is_counted {
            counted += part;
        }
        if part == first.bytes.len() {
            batch.pop_front();
            *is_cut = false;
        } else {
            first.bytes.advance(part);
            *is_cut = true;
        }
    }
    Ok((written, counted))
}

/// Tries for what is left and the close frame, then lets the client's last bytes come in.
pub async fn finish(mut tcp: TcpStream, rest: Rest) {
    let Rest { close, mut batch, mut is_cut } = rest;
    let frame = match close {
        Close::Cut => return,
        Close::With(code) => close_frame(code.number(), code.reason()),
        Close::Echo(code) => close_frame(code, ""),
    };
    if close == Close::With(CloseCode::SlowConsumer) {
        // Only a frame that has begun must end.
        batch.truncate(usize::from(is_cut));
    }
    batch.push_back(Outgoing { bytes: frame, is_counted: false });
    let written = tokio::time::timeout(LAST_WRITE_TIMEOUT, async {
        while !batch.is_empty() {
            match write_some(&tcp, &mut batch, &mut is_cut) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.writable().await?,
                Err(error) => return Err(error),
            }
        }
        tcp.shutdown().await
    })
    .await;
    if matches!(written, Ok(Ok(()))) {
        let _ = tokio::time::timeout(LINGER, drop_incoming(&tcp)).await;
    }
}

/// Reads until the client closes its side.
async fn drop_incoming(tcp: &TcpStream) {
    while tcp.readable().await.is_ok() {
        if !drop_some(tcp) {
            return;
        }
    }
}

fn drop_some(tcp: &TcpStream) -> bool {
    let mut buffer = [0; 4_096];
    match tcp.try_read(&mut buffer) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut payload = BytesMut::with_capacity(reason.len() + 2);
    payload.put_u16(code);
    payload.put_slice(reason.as_bytes());
    control(0x88, &payload)
}
