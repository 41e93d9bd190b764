//! The kernel: clocks, epoll, batched datagrams, pinning. The only file with `unsafe`.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Datagrams taken by one `recvmmsg`.
pub const BATCH: usize = 64;
/// Room for one datagram; larger ones are cut, which only the count of bytes would notice.
const DATAGRAM_BYTES: usize = 2048;
/// Room for one timestamp control message.
const CONTROL_BYTES: usize = 64;

fn clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec for the whole call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    (result == 0).then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CLOCK_REALTIME in nanoseconds: what the kernel stamps received datagrams with.
pub fn wall_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME).unwrap_or(0)
}

/// User and system time of a whole process, dead threads included; `None` when it is gone.
pub fn process_cpu_ns(pid: u32) -> Option<u64> {
    // The kernel's own encoding of another process's CPU clock (clock_getcpuclockid).
    clock_ns((!(pid as libc::clockid_t) << 3) | 2)
}

/// Resident memory of a process in bytes, from `/proc/PID/statm`.
pub fn process_rss_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Pin this process to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is valid, and CPU_SET stays inside it (checked by libc).
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Run before every ordinary process of this CPU, so that pacing is exact. Needs privilege; says if it worked.
pub fn real_time() -> bool {
    let parameter = libc::sched_param { sched_priority: 10 };
    // SAFETY: `parameter` lives through the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) == 0 }
}

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_number: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Have SIGTERM and SIGINT end the run early, with its report.
pub fn watch_signals() {
    for number in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(number, on_signal as *const () as libc::sighandler_t) };
    }
}

/// Whether a signal asked for the end.
pub fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Raise the soft limit of open files to the hard one.
pub fn raise_file_limit() {
    // SAFETY: `limit` is a live rlimit in both calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> bool {
    // SAFETY: the pointer and length describe `value`.
    unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as u32,
        ) == 0
    }
}

/// A larger receive buffer, past the system's limit where privileged.
pub fn set_receive_buffer(socket: &impl AsRawFd, bytes: i32) {
    let fd = socket.as_raw_fd();
    if !set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes) {
        set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
    }
}

/// Have the kernel stamp each datagram on arrival in the socket's queue.
pub fn stamp_arrivals(socket: &impl AsRawFd) {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_TIMESTAMPNS,
        1,
    );
}

/// An epoll set whose tokens are the caller's.
pub struct Poll {
    /// The epoll descriptor.
    fd: RawFd,
    /// Room for ready events.
    events: Vec<libc::epoll_event>,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            fd,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024],
        })
    }

    /// Watch for readability (level-triggered).
    pub fn add(&self, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: `event` lives through the call.
        let result = unsafe {
            libc::epoll_ctl(self.fd, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &mut event)
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Tokens that became readable within `timeout_ms`.
    pub fn wait(&mut self, timeout_ms: i32, tokens: &mut Vec<u64>) {
        tokens.clear();
        // SAFETY: the pointer and length describe `events`.
        let count = unsafe {
            libc::epoll_wait(
                self.fd,
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                timeout_ms,
            )
        };
        tokens.extend(
            self.events
                .iter()
                .take(count.max(0) as usize)
                .map(|event| event.u64),
        );
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        // SAFETY: `fd` is owned by this value.
        unsafe { libc::close(self.fd) };
    }
}

/// Wait until `fd` is readable or the time has come (nanosecond precision).
pub fn wait_readable_until(socket: &impl AsRawFd, deadline_ns: u64) {
    let left = deadline_ns.saturating_sub(now_ns());
    let timeout = libc::timespec {
        tv_sec: (left / 1_000_000_000) as i64,
        tv_nsec: (left % 1_000_000_000) as i64,
    };
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: both pointers live through the call; no signal mask.
    unsafe { libc::ppoll(&mut poll, 1, &timeout, std::ptr::null()) };
}

/// Room for a batch of received datagrams.
pub struct Batch {
    /// The datagrams' bytes; never resized, the kernel is pointed into it.
    data: Vec<[u8; DATAGRAM_BYTES]>,
    /// Their control messages; never resized either.
    _control: Vec<[u64; CONTROL_BYTES / 8]>,
    /// One vector per datagram, pointing into `data`.
    _vectors: Vec<libc::iovec>,
    /// One message per datagram, pointing into the other vectors.
    messages: Vec<libc::mmsghdr>,
    /// Messages filled by the last call.
    count: usize,
}

impl Batch {
    pub fn new() -> Self {
        let mut data = vec![[0u8; DATAGRAM_BYTES]; BATCH];
        let mut control = vec![[0u64; CONTROL_BYTES / 8]; BATCH];
        let mut vectors: Vec<libc::iovec> = data
            .iter_mut()
            .map(|datagram| libc::iovec {
                iov_base: datagram.as_mut_ptr().cast(),
                iov_len: DATAGRAM_BYTES,
            })
            .collect();
        let messages = vectors
            .iter_mut()
            .zip(&mut control)
            .map(|(vector, control)| {
                // SAFETY: all-zero is a valid mmsghdr.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_iov = vector;
                message.msg_hdr.msg_iovlen = 1;
                message.msg_hdr.msg_control = control.as_mut_ptr().cast();
                message
            })
            .collect();
        Self {
            data,
            _control: control,
            _vectors: vectors,
            messages,
            count: 0,
        }
    }

    /// Take what waits on the socket, at most `BATCH`. Says how many there were.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> usize {
        for message in &mut self.messages {
            message.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: the messages point into vectors of this value that are never resized.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.count = count.max(0) as usize;
        self.count
    }

    /// Bytes of one of them, or `None` past the last.
    pub fn try_datagram(&self, index: usize) -> Option<&[u8]> {
        (index < self.count).then(|| self.datagram(index))
    }

    /// Bytes of one of them.
    pub fn datagram(&self, index: usize) -> &[u8] {
        let length = self.messages[index].msg_len as usize;
        &self.data[index][..length.min(DATAGRAM_BYTES)]
    }

    /// Arrival in the socket's queue by the wall clock (ns), where `stamp_arrivals` was asked for.
    pub fn arrival_ns(&self, index: usize) -> Option<u64> {
        // SAFETY: the kernel filled the control buffer of this message, whose length it gave.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(&self.messages[index].msg_hdr);
            if control.is_null() || (*control).cmsg_type != libc::SCM_TIMESTAMPNS {
                return None;
            }
            let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(control).cast());
            Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
        }
    }
}

/// Send datagrams on a connected socket with as few system calls as possible. Says how many went.
pub fn send_batch(socket: &impl AsRawFd, packets: &[Vec<u8>]) -> usize {
    let mut vectors: Vec<libc::iovec> = packets
        .iter()
        .map(|packet| libc::iovec {
            iov_base: packet.as_ptr().cast_mut().cast(),
            iov_len: packet.len(),
        })
        .collect();
    let mut sent = 0;
    while sent < packets.len() {
        let chunk = &mut vectors[sent..packets.len().min(sent + BATCH)];
        // SAFETY: the vectors and packets outlive the call; the kernel only reads packets.
        let count = unsafe {
            let mut messages: Vec<libc::mmsghdr> = chunk
                .iter_mut()
                .map(|vector| {
                    let mut message: libc::mmsghdr = std::mem::zeroed();
                    message.msg_hdr.msg_iov = vector;
                    message.msg_hdr.msg_iovlen = 1;
                    message
                })
                .collect();
            libc::sendmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as u32,
                0,
            )
        };
        if count <= 0 {
            break;
        }
        sent += count as usize;
    }
    sent
}
