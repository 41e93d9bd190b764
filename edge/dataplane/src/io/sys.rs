//! System calls: the only unsafe code of the crate. Each block states why it is sound.
#![allow(unsafe_code)]

use crate::transmit::{BATCH_MESSAGES, Batch, Message, Path, Tos};
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Datagrams taken by one `recvmmsg`.
pub const RECEIVE_MESSAGES: usize = 64;
/// Room for one received datagram; larger ones are cut and then fail authentication.
pub const RECEIVE_BYTES: usize = 2_048;
/// Room for control messages: segment size and TOS, or the drop counter.
const CONTROL_BYTES: usize = 64;
/// `UDP_SEGMENT` of linux/udp.h; older libc crates lack it.
const UDP_SEGMENT: libc::c_int = 103;

/// Zeroed value of a plain C structure.
fn zero<T: Plain>() -> T {
    // SAFETY: `Plain` is implemented below only for C structures of integers and pointers, for
    // which all zeroes is a valid value.
    unsafe { zeroed() }
}

trait Plain {}
impl Plain for libc::mmsghdr {}
impl Plain for libc::iovec {}
impl Plain for libc::sockaddr_storage {}
impl Plain for libc::cpu_set_t {}
impl Plain for libc::timespec {}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Set an integer socket option.
pub fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and length describe one live c_int; the kernel only reads it.
    check(unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn option(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: pointer and length describe one live c_int, which the kernel fills.
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut size) })?;
    Ok(value)
}

/// Ask for a buffer of `bytes` and return what the kernel granted (it doubles the value for its
/// own accounting; the half is what holds data).
pub fn set_buffer(fd: RawFd, receive: bool, bytes: usize) -> io::Result<usize> {
    let wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    let (force, plain) = if receive {
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)
    } else {
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)
    };
    // Forcing needs CAP_NET_ADMIN; without it the sysctl is the limit.
    if set_option(fd, libc::SOL_SOCKET, force, wanted).is_err() {
        set_option(fd, libc::SOL_SOCKET, plain, wanted)?;
    }
    Ok(option(fd, libc::SOL_SOCKET, plain)? as usize / 2)
}

/// Prepare a UDP socket: drop counter, no fragmentation and no path MTU cache look-ups, and the
/// traffic class of video, so that only the few other messages must name theirs.
pub fn prepare_udp(fd: RawFd, ipv6: bool, dscp: bool) -> io::Result<()> {
    if dscp {
        let video = Tos::Video as i32;
        set_option(fd, libc::SOL_IP, libc::IP_TOS, video)?;
        if ipv6 {
            set_option(fd, libc::SOL_IPV6, libc::IPV6_TCLASS, video)?;
        }
    }
    set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    set_option(
        fd,
        libc::SOL_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_PROBE,
    )?;
    if ipv6 {
        set_option(
            fd,
            libc::SOL_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        )?;
    }
    Ok(())
}

/// Whether the kernel knows UDP GSO.
pub fn has_gso(fd: RawFd) -> bool {
    option(fd, libc::SOL_UDP, UDP_SEGMENT).is_ok()
}

/// Pin the calling thread to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set: libc::cpu_set_t = zero();
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `cpu` is below CPU_SETSIZE, so CPU_SET writes inside the set; the call reads it.
    check(unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    })?;
    Ok(())
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let mut time: libc::timespec = zero();
    // SAFETY: the pointer is to one live timespec, which the kernel fills.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A counter that wakes whoever waits for it.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Non-blocking, closed on exec.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; the descriptor is new and owned by nobody else.
        unsafe {
            let fd = check(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?;
            Ok(EventFd(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Make it readable.
    pub fn wake(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of a live u64 are read. A full counter is readable already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Make it unreadable.
    pub fn reset(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes of a live u64 are written. Nothing to read is no error here.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// An epoll instance; tokens tell the descriptors apart.
#[derive(Debug)]
pub struct Poller(OwnedFd);

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and owned by nobody else.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            Ok(Poller(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Watch a descriptor for reading. Closing it removes it.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: the pointer is to one live epoll_event, which the kernel copies.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })?;
        Ok(())
    }

    /// Wait for at most `timeout`; tokens that are ready are appended.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let limit = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(timeout.subsec_nanos()),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the array has 64 live entries for the kernel to fill, the timespec outlives the
        // call, and a null signal mask means "unchanged". epoll_pwait2 has microseconds, which
        // epoll_wait lacks (Linux 5.11).
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                limit,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            };
        }
        ready.extend(events.iter().take(count as usize).map(|event| event.u64));
        Ok(())
    }
}

fn write_address(address: SocketAddr, ipv6: bool, out: &mut libc::sockaddr_storage) -> u32 {
    match address {
        SocketAddr::V4(v4) if !ipv6 => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*v4.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is larger than and as aligned as any socket address.
            unsafe { std::ptr::write((&raw mut *out).cast(), value) };
            size_of::<libc::sockaddr_in>() as u32
        }
        _ => {
            let (ip, scope) = match address {
                SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
                SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
            };
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                sin6_scope_id: scope,
            };
            // SAFETY: as above.
            unsafe { std::ptr::write((&raw mut *out).cast(), value) };
            size_of::<libc::sockaddr_in6>() as u32
        }
    }
}

fn read_address(address: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in.
            let v4: libc::sockaddr_in = unsafe { std::ptr::read((&raw const *address).cast()) };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage holds a sockaddr_in6.
            let v6: libc::sockaddr_in6 = unsafe { std::ptr::read((&raw const *address).cast()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            // Mapped addresses are compared and printed as what they are.
            let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
            Some(SocketAddr::from((ip, port)))
        }
        _ => None,
    }
}

/// Buffers of `recvmmsg`, allocated once.
pub struct Receiver {
    buffers: Box<[[u8; RECEIVE_BYTES]]>,
    addresses: Box<[libc::sockaddr_storage]>,
    controls: Box<[[u64; CONTROL_BYTES / 8]]>,
    lengths: [usize; RECEIVE_MESSAGES],
    peers: [Option<SocketAddr>; RECEIVE_MESSAGES],
    /// Datagrams the kernel has dropped on this socket since it was made, as last told.
    pub dropped: u32,
}

impl Receiver {
    /// Allocate.
    pub fn new() -> Self {
        Receiver {
            buffers: vec![[0; RECEIVE_BYTES]; RECEIVE_MESSAGES].into(),
            addresses: (0..RECEIVE_MESSAGES).map(|_| zero()).collect(),
            controls: vec![[0; CONTROL_BYTES / 8]; RECEIVE_MESSAGES].into(),
            lengths: [0; RECEIVE_MESSAGES],
            peers: [None; RECEIVE_MESSAGES],
            dropped: 0,
        }
    }

    /// Receive what is there; 0 when nothing is.
    pub fn receive(&mut self, fd: RawFd) -> io::Result<usize> {
        let mut headers: [libc::mmsghdr; RECEIVE_MESSAGES] = std::array::from_fn(|_| zero());
        let mut vectors: [libc::iovec; RECEIVE_MESSAGES] = std::array::from_fn(|_| zero());
        let parts = headers
            .iter_mut()
            .zip(&mut vectors)
            .zip(&mut self.buffers)
            .zip(&mut self.addresses)
            .zip(&mut self.controls);
        for ((((header, vector), buffer), address), control) in parts {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = RECEIVE_BYTES;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut *address).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: every header points to live buffers of the lengths given, none shared; all
        // outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                RECEIVE_MESSAGES as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                // A peer's ICMP error is no error of ours.
                io::ErrorKind::ConnectionRefused => Ok(0),
                _ => Err(error),
            };
        }
        let count = count as usize;
        for (index, header) in headers.iter().enumerate().take(count) {
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            self.lengths[index] = if truncated {
                0
            } else {
                header.msg_len as usize
            };
            self.peers[index] = read_address(&self.addresses[index]);
        }
        if let Some(last) = count.checked_sub(1) {
            self.read_drops(&headers[last].msg_hdr);
        }
        Ok(count)
    }

    /// The datagrams of the last call.
    pub fn datagrams(&mut self, count: usize) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        self.buffers
            .iter_mut()
            .zip(&self.lengths)
            .zip(&self.peers)
            .take(count)
            .filter_map(|((buffer, length), peer)| Some(((*peer)?, buffer.get_mut(..*length)?)))
    }

    fn read_drops(&mut self, header: &libc::msghdr) {
        // SAFETY: the header is as the kernel left it: its control buffer is live and
        // `msg_controllen` says how much of it is filled; the macros stay inside.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(header);
            while !message.is_null() {
                let (level, kind) = ((*message).cmsg_level, (*message).cmsg_type);
                if level == libc::SOL_SOCKET && kind == libc::SO_RXQ_OVFL {
                    let data: *const u32 = libc::CMSG_DATA(message).cast();
                    self.dropped = data.read_unaligned();
                }
                message = libc::CMSG_NXTHDR(header, message);
            }
        }
    }
}

/// Buffers of `sendmmsg`, allocated once.
pub struct Sender {
    addresses: Box<[libc::sockaddr_storage]>,
    controls: Box<[[u64; CONTROL_BYTES / 8]]>,
    /// Whether the socket is an IPv6 one.
    ipv6: bool,
    /// Whether TOS is written.
    dscp: bool,
}

impl Sender {
    /// Allocate.
    pub fn new(ipv6: bool, dscp: bool) -> Self {
        Sender {
            addresses: (0..BATCH_MESSAGES).map(|_| zero()).collect(),
            controls: vec![[0; CONTROL_BYTES / 8]; BATCH_MESSAGES].into(),
            ipv6,
            dscp,
        }
    }

    /// Send UDP messages of a batch from `first` on. Returns how many the kernel took; the error
    /// belongs to the message after those.
    pub fn send(
        &mut self,
        fd: RawFd,
        batch: &Batch,
        messages: &[Message],
    ) -> (usize, Option<io::Error>) {
        let mut headers: [libc::mmsghdr; BATCH_MESSAGES] = std::array::from_fn(|_| zero());
        let mut vectors: [libc::iovec; BATCH_MESSAGES] = std::array::from_fn(|_| zero());
        let mut count = 0;
        let parts = messages
            .iter()
            .zip(headers.iter_mut().zip(&mut vectors))
            .zip(self.addresses.iter_mut().zip(&mut self.controls));
        for ((message, (header, vector)), (address, control)) in parts {
            let Path::Udp(peer) = message.path else {
                break;
            };
            let Some(bytes) = batch.bytes().get(message.start..message.end) else {
                break;
            };
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            header.msg_hdr.msg_namelen = write_address(peer, self.ipv6, address);
            header.msg_hdr.msg_name = (&raw mut *address).cast();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            let tos = (self.dscp && message.tos != Tos::Video).then_some(message.tos as i32);
            let ipv6_peer = self.ipv6 && peer.is_ipv6();
            write_control(&mut header.msg_hdr, message, tos, ipv6_peer);
            count += 1;
        }
        if count == 0 {
            return (0, None);
        }
        // SAFETY: `count` headers point to live buffers: the batch (read only), addresses and
        // control data, which outlive the call.
        let sent = unsafe {
            libc::sendmmsg(
                fd,
                headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        if sent < 0 {
            return (0, Some(io::Error::last_os_error()));
        }
        (sent as usize, None)
    }
}

/// Control messages: segment size for GSO, and the traffic class.
fn write_control(header: &mut libc::msghdr, message: &Message, tos: Option<i32>, ipv6: bool) {
    let segments = message.segments() > 1;
    if !segments && tos.is_none() {
        header.msg_control = std::ptr::null_mut();
        header.msg_controllen = 0;
        return;
    }
    header.msg_controllen = CONTROL_BYTES;
    // SAFETY: `msg_control` is a live, aligned buffer of CONTROL_BYTES, room for two messages of
    // one integer each (2 * CMSG_SPACE(4) = 48); the macros stay inside it.
    unsafe {
        let mut used = 0;
        let mut next = libc::CMSG_FIRSTHDR(header);
        if segments {
            (*next).cmsg_level = libc::SOL_UDP;
            (*next).cmsg_type = UDP_SEGMENT;
            (*next).cmsg_len = libc::CMSG_LEN(2) as usize;
            let data: *mut u16 = libc::CMSG_DATA(next).cast();
            data.write_unaligned(message.segment as u16);
            used += libc::CMSG_SPACE(2) as usize;
            next = header.msg_control.cast::<u8>().add(used).cast();
        }
        if let Some(tos) = tos {
            let (level, kind) = if ipv6 {
                (libc::SOL_IPV6, libc::IPV6_TCLASS)
            } else {
                (libc::SOL_IP, libc::IP_TOS)
            };
            (*next).cmsg_level = level;
            (*next).cmsg_type = kind;
            (*next).cmsg_len = libc::CMSG_LEN(4) as usize;
            let data: *mut i32 = libc::CMSG_DATA(next).cast();
            data.write_unaligned(tos);
            used += libc::CMSG_SPACE(4) as usize;
        }
        header.msg_controllen = used;
    }
}
