//! A client's socket that gives up on a client which takes nothing: an answer that nobody reads would hold its buffers, its task and
//! its place among the open sockets for as long as the peer likes.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// HTTP only: a WebSocket takes the bare socket back, and has rules of its own (4030).
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    stall_max: Duration,
    /// Runs while something waits to be written; made when it first has to wait.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub const fn new(tcp: TcpStream, stall_max: Duration) -> Self {
        Self { tcp, stall_max, stalled: None }
    }

    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Passes on what a write came to; one that waits too long is an error.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_max = self.stall_max;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
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

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_is_slow_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = Socket::new(tcp, Duration::from_millis(300));
        let piece = vec![b'x'; 1 << 20];
        let error = loop {
            // Until the kernel takes no more for it.
            if let Err(error) = socket.write_all(&piece).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut socket = Socket::new(socket.into_tcp(), Duration::from_secs(5));
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
