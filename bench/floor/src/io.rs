//! The system calls that the standard library lacks. The only file with `unsafe`: each block
//! passes pointers to values that outlive the call, with their true lengths.
#![allow(unsafe_code)]

use libc::{c_int, c_uint, c_void};
use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Messages per `sendmmsg`; more win nothing.
pub const BATCH: usize = 64;
/// Datagrams per `recvmmsg`.
const RECEIVE: usize = 32;
/// Room for one datagram, in bytes.
const DATAGRAM: usize = 1500;
/// Bytes of socket buffers; a receiver must hold the bursts that come while the reader is away.
const SOCKET_BUFFER: c_int = 4 << 20;
/// Room for a control message of one `u16`.
const CONTROL: usize = unsafe { libc::CMSG_SPACE(2) } as usize;

/// Datagrams for one receiver.
pub struct Message {
    /// Where to.
    pub destination: SocketAddrV4,
    /// Where in the send buffer; all datagrams, one behind the other.
    pub range: Range<usize>,
    /// Bytes of each datagram.
    pub segment: usize,
}

/// Control data, aligned for its header.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

fn check(result: c_int) -> Result<c_int> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Binds the calling thread to one core.
pub fn pin(cpu: usize) -> Result<()> {
    let size = size_of::<libc::cpu_set_t>();
    if cpu >= 8 * size {
        return Err(Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the set is plain data, the core is within it, and the call only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size, &set)).map(drop)
    }
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is written by the call and nothing else refers to it.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Allows as many open files as the system lets this process have.
pub fn raise_open_files() -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is plain data, written by the first call and read by the second.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit)).map(drop)
    }
}

/// The one unconnected socket that all packets leave by.
pub fn sending_socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Without this the kernel draws an IP identification per datagram.
    set(
        &socket,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_PROBE,
    )?;
    enlarge(&socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)?;
    Ok(socket)
}

/// Gives a receiver room for several bursts.
pub fn enlarge_receive_buffer(socket: &UdpSocket) -> Result<()> {
    enlarge(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)
}

/// Beyond the system's limit where that is allowed.
fn enlarge(socket: &UdpSocket, forced: c_int, plain: c_int) -> Result<()> {
    set(socket, libc::SOL_SOCKET, forced, SOCKET_BUFFER)
        .or_else(|_| set(socket, libc::SOL_SOCKET, plain, SOCKET_BUFFER))
}

fn set(socket: &UdpSocket, level: c_int, name: c_int, value: c_int) -> Result<()> {
    let size = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the call reads `size` bytes of `value`.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size,
        )
    })
    .map(drop)
}

/// Sends at most `BATCH` messages whose ranges lie in `buffer`, and waits until all are sent.
pub fn send_all(socket: &UdpSocket, buffer: &[u8], messages: &[Message]) -> Result<()> {
    let messages = &messages[..messages.len().min(BATCH)];
    // SAFETY: all of these are plain data, for which zero bytes are a value.
    let (mut headers, mut vectors, mut names): (
        [libc::mmsghdr; BATCH],
        [libc::iovec; BATCH],
        [libc::sockaddr_in; BATCH],
    ) = unsafe { std::mem::zeroed() };
    let mut controls = [Control([0; CONTROL]); BATCH];
    for (at, message) in messages.iter().enumerate() {
        let bytes = &buffer[message.range.clone()];
        names[at] = name(message.destination);
        vectors[at].iov_base = bytes.as_ptr().cast_mut().cast();
        vectors[at].iov_len = bytes.len();
        let header = &mut headers[at].msg_hdr;
        header.msg_name = (&raw mut names[at]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = &raw mut vectors[at];
        header.msg_iovlen = 1;
        if bytes.len() > message.segment {
            header.msg_control = (&raw mut controls[at]).cast();
            header.msg_controllen = CONTROL;
            segment(header, message.segment as u16);
        }
    }
    let mut rest = &mut headers[..messages.len()];
    while !rest.is_empty() {
        // SAFETY: each header points into arrays of this function and into `buffer`, all alive.
        let sent = check(unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as c_uint,
                0,
            )
        });
        match sent {
            Ok(sent) => rest = &mut rest[sent as usize..],
            Err(problem) if problem.kind() == std::io::ErrorKind::Interrupted => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}

fn name(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// Asks for the message to be cut into datagrams of this size (UDP segmentation offload).
fn segment(header: &mut libc::msghdr, size: u16) {
    // SAFETY: `header` has `CONTROL` aligned bytes of control data, room for one `u16`.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = libc::SOL_UDP;
        (*control).cmsg_type = libc::UDP_SEGMENT;
        (*control).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(control).cast::<u16>().write_unaligned(size);
    }
}

/// Waits for any of many sockets.
pub struct Poller(OwnedFd);

impl Poller {
    /// Knows each socket by its place.
    pub fn new(sockets: &[UdpSocket]) -> Result<Poller> {
        // SAFETY: no pointers; the new descriptor is owned by nobody else.
        let poller =
            unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        for (place, socket) in sockets.iter().enumerate() {
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: place as u64,
            };
            let (epoll, socket) = (poller.as_raw_fd(), socket.as_raw_fd());
            // SAFETY: the call reads `event`.
            check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &mut event) })?;
        }
        Ok(Poller(poller))
    }

    /// Fills `ready` with the places of sockets that have datagrams; none after `timeout`.
    pub fn wait(&self, ready: &mut Vec<usize>, timeout: Duration) -> Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        let (size, timeout) = (events.len() as c_int, timeout.as_millis() as c_int);
        // SAFETY: the call writes at most `size` events.
        let waited = check(unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), size, timeout)
        });
        let count = match waited {
            Err(problem) if problem.kind() == std::io::ErrorKind::Interrupted => 0,
            waited => waited? as usize,
        };
        ready.extend(events[..count].iter().map(|event| event.u64 as usize));
        Ok(())
    }
}

/// Room for the datagrams of one `recvmmsg`.
pub struct Datagrams {
    /// The bytes.
    room: Box<[[u8; DATAGRAM]; RECEIVE]>,
    /// How many bytes each has.
    lengths: [usize; RECEIVE],
}

impl Datagrams {
    /// Empty.
    pub fn new() -> Datagrams {
        Datagrams {
            room: Box::new([[0; DATAGRAM]; RECEIVE]),
            lengths: [0; RECEIVE],
        }
    }

    /// Reads what is there, without waiting; returns how many datagrams.
    pub fn receive(&mut self, socket: &UdpSocket) -> Result<usize> {
        // SAFETY: plain data, for which zero bytes are a value.
        let (mut headers, mut vectors): ([libc::mmsghdr; RECEIVE], [libc::iovec; RECEIVE]) =
            unsafe { std::mem::zeroed() };
        for (at, room) in self.room.iter_mut().enumerate() {
            vectors[at].iov_base = room.as_mut_ptr().cast::<c_void>();
            vectors[at].iov_len = room.len();
            headers[at].msg_hdr.msg_iov = &raw mut vectors[at];
            headers[at].msg_hdr.msg_iovlen = 1;
        }
        let (socket, size) = (socket.as_raw_fd(), RECEIVE as c_uint);
        let (headers_at, flags) = (headers.as_mut_ptr(), libc::MSG_DONTWAIT);
        // SAFETY: the headers point into `vectors` and `self.room`, both alive and of that size.
        let received =
            check(unsafe { libc::recvmmsg(socket, headers_at, size, flags, std::ptr::null_mut()) });
        let count = match received {
            Err(problem) if problem.kind() == std::io::ErrorKind::WouldBlock => 0,
            received => received? as usize,
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        Ok(count)
    }

    /// The first `count` datagrams of the last `receive`.
    pub fn iter_mut(&mut self, count: usize) -> impl Iterator<Item = &mut [u8]> {
        let room = self.room.iter_mut().zip(self.lengths).take(count);
        room.map(|(room, length)| &mut room[..length])
    }
}
