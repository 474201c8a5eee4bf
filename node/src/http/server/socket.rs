//! A client's socket that gives up on a client which takes nothing, or does not finish the head of a request: either would hold its
//! buffers, its task and its place among the open sockets for as long as the peer likes.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Where a connection is between its requests. The socket sees when a head begins and the service when it has ended; hyper has one
/// time for both a head and the rest before it (hyper#1628), and a load balancer rests longer than a head may take.
#[derive(Clone, Debug)]
pub struct Phase(Arc<AtomicU8>);

/// A head is on its way; so it is at first: who connects has something to ask.
const HEAD: u8 = 0;
const ANSWERING: u8 = 1;
/// Answered, and nothing has come since.
const RESTING: u8 = 2;

impl Default for Phase {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }
}

impl Phase {
    pub fn head_is_whole(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    pub fn has_answered(&self) {
        self.0.store(RESTING, Ordering::Relaxed);
    }

    fn bytes_have_come(&self) {
        let _ = self.0.compare_exchange(RESTING, HEAD, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is_head(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HEAD
    }
}

/// HTTP only: a WebSocket takes the bare socket back, and has rules of its own (4030).
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    phase: Phase,
    times: Times,
    /// Runs while a head is incomplete; made when it first has to be waited for.
    head_due: Option<Pin<Box<Sleep>>>,
    /// Runs while something waits to be written; made when it first has to wait.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To send a head, from its first byte; the first from when it connects.
    pub head_max: Duration,
    /// To take some of an answer.
    pub stall_max: Duration,
}

impl Socket {
    pub const fn new(tcp: TcpStream, phase: Phase, times: Times) -> Self {
        Self { tcp, phase, times, head_due: None, stalled: None }
    }

    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Passes on what a write came to; one that waits too long is an error.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            // While an answer is written, the head behind it is not read.
            self.head_due = None;
            return written;
        }
        let stall_max = self.times.stall_max;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if buf.filled().len() > filled {
            self.phase.bytes_have_come();
        }
        if !self.phase.is_head() {
            self.head_due = None;
        } else if read.is_pending() {
            let head_max = self.times.head_max;
            let due = self.head_due.get_or_insert_with(|| Box::pin(sleep(head_max)));
            return due.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn socket(tcp: TcpStream, stall_max: Duration) -> Socket {
        Socket::new(tcp, Phase::default(), Times { head_max: Duration::from_secs(5), stall_max })
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_is_slow_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = socket(tcp, Duration::from_millis(300));
        let piece = vec![b'x'; 1 << 20];
        let error = loop {
            // Until the kernel takes no more for it.
            if let Err(error) = socket.write_all(&piece).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut socket = self::socket(socket.into_tcp(), Duration::from_secs(5));
        let reading = async {
            let mut buffer = vec![0; 1 << 20];
            let mut read = 0;
            while read < 16 << 20 {
                read += client.read(&mut buffer).await.unwrap();
            }
        };
        let writing = async {
            for _ in 0..16 {
                socket.write_all(&piece).await.unwrap();
            }
        };
        tokio::join!(reading, writing);
    }
}
