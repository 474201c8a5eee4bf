//! Nonblocking sockets on one epoll instance. What is written in a turn leaves in one write per socket.

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use rustix::time::Timespec;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;

/// Events taken from the kernel at once; a kernel list, so a bound on memory only.
const EVENTS_MAX: usize = 1024;

/// A socket is named by its place, given out by `reserve` and used again after each reconnect.
pub type SocketId = usize;

#[derive(Default)]
struct Socket {
    stream: Option<TcpStream>,
    /// The beginning of a frame whose end has not come yet.
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    is_dirty: bool,
    awaits_writable: bool,
}

pub struct Reactor {
    epoll: OwnedFd,
    sockets: Vec<Socket>,
    dirty: Vec<SocketId>,
}

/// One socket that can go on.
#[derive(Clone, Copy)]
pub struct Ready {
    pub socket: SocketId,
    pub is_writable: bool,
    pub is_readable: bool,
}

/// What a read brought.
pub enum Read {
    Nothing,
    /// So many bytes stand in the buffer, those of an unfinished frame first.
    Bytes(usize),
    Closed(String),
}

impl Reactor {
    pub fn new() -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| format!("epoll: {error}"))?;
        Ok(Self { epoll, sockets: Vec::new(), dirty: Vec::new() })
    }

    pub fn reserve(&mut self) -> SocketId {
        self.sockets.push(Socket::default());
        self.sockets.len() - 1
    }

    /// Begins to connect, from `source` where one is given; `first_bytes` go out when it is done.
    pub fn connect(
        &mut self,
        id: SocketId,
        address: SocketAddr,
        source: Option<Ipv4Addr>,
        first_bytes: &[u8],
    ) -> Result<(), String> {
        let stream = begin_connect(address, source).map_err(|error| format!("connect: {error}"))?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&self.epoll, &stream, data_of(id), flags).map_err(|error| format!("epoll: {error}"))?;
        let Some(socket) = self.sockets.get_mut(id) else {
            return Err("no such socket".into());
        };
        *socket =
            Socket { stream: Some(stream), outbound: first_bytes.to_vec(), awaits_writable: true, ..Socket::default() };
        Ok(())
    }

    /// The buffer to append frames to; it leaves with the next `flush`.
    pub fn outbound(&mut self, id: SocketId) -> Option<&mut Vec<u8>> {
        let socket = self.sockets.get_mut(id)?;
        socket.stream.as_ref()?;
        if !socket.is_dirty {
            socket.is_dirty = true;
            self.dirty.push(id);
        }
        Some(&mut socket.outbound)
    }

    /// Writes what was appended since the last time. Errors show up as a closed socket at the next read.
    pub fn flush(&mut self) {
        while let Some(id) = self.dirty.pop() {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.is_dirty = false;
            }
            self.write(id);
        }
    }

    /// Writes as much as the kernel takes, and asks to be told when it takes more.
    pub fn write(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        let Some(stream) = socket.stream.as_mut() else {
            return;
        };
        let written = if socket.outbound.is_empty() {
            0
        } else {
            // A socket that is broken is readable too, and the read says how.
            stream.write(&socket.outbound).unwrap_or(0)
        };
        if written == socket.outbound.len() {
            socket.outbound.clear();
        } else {
            socket.outbound.drain(..written);
        }
        let awaits_writable = !socket.outbound.is_empty();
        if awaits_writable != socket.awaits_writable {
            socket.awaits_writable = awaits_writable;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, awaits_writable);
            // It can only fail for a socket that is gone.
            let _ = epoll::modify(&self.epoll, stream, data_of(id), flags);
        }
    }

    /// Waits for events, at most so long, and adds them to `ready`.
    pub fn wait(&mut self, timeout_ns: u64, ready: &mut Vec<Ready>) -> Result<(), String> {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; EVENTS_MAX];
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(timeout_ns % 1_000_000_000).unwrap_or(0),
        };
        let (events, _) = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(found) => found,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(format!("epoll: {error}")),
        };
        ready.extend(events.iter().map(|event| {
            // The kernel's record is packed: its fields are copied, not borrowed.
            let flags = event.flags;
            Ready {
                socket: crate::numbers::index(event.data.u64()),
                is_writable: flags.contains(epoll::EventFlags::OUT),
                is_readable: flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::ERR | epoll::EventFlags::HUP),
            }
        }));
        Ok(())
    }

    /// One read into `buffer`, behind the unfinished frame kept from last time.
    pub fn read(&mut self, id: SocketId, buffer: &mut [u8]) -> Read {
        let Some(socket) = self.sockets.get_mut(id) else {
            return Read::Nothing;
        };
        let Some(stream) = socket.stream.as_mut() else {
            return Read::Nothing;
        };
        let kept = socket.inbound.len();
        let Some((head, room)) = buffer.split_at_mut_checked(kept) else {
            return Read::Closed("a frame larger than the buffer".into());
        };
        match stream.read(room) {
            Ok(0) if room.is_empty() => Read::Closed("a frame larger than the buffer".into()),
            Ok(0) => Read::Closed("end of stream".into()),
            Ok(length) => {
                head.copy_from_slice(&socket.inbound);
                socket.inbound.clear();
                Read::Bytes(kept + length)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) => Read::Closed(error.to_string()),
        }
    }

    /// Keeps the beginning of an unfinished frame for the next read.
    pub fn keep(&mut self, id: SocketId, rest: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.inbound.extend_from_slice(rest);
        }
    }

    /// Closes the socket; the kernel takes it out of epoll with its last descriptor.
    pub fn close(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            let is_dirty = socket.is_dirty;
            *socket = Socket { is_dirty, ..Socket::default() };
        }
    }
}

fn data_of(id: SocketId) -> epoll::EventData {
    epoll::EventData::new_u64(crate::numbers::count(id))
}

fn begin_connect(address: SocketAddr, source: Option<Ipv4Addr>) -> Result<TcpStream, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error),
    }
}
