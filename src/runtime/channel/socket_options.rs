//! Options of sockets, by their names in Node's `net.Socket`.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Has the kernel probe a silent peer. The times are in seconds; 0 leaves an option as it is.
pub fn set_keep_alive(socket: &SockRef<'_>, on: bool, delay: u32, interval: u32, count: u32) -> io::Result<()> {
    let mut params = TcpKeepalive::new();
    if delay > 0 {
        params = params.with_time(seconds(delay));
    }
    if interval > 0 {
        params = params.with_interval(seconds(interval));
    }
    #[cfg(not(windows))]
    if count > 0 {
        params = params.with_retries(count);
    }
    #[cfg(windows)]
    let _ = count;
    if on {
        socket.set_tcp_keepalive(&params)?;
    }
    socket.set_keepalive(on)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Sets the type of service (IPv4) or the traffic class (IPv6).
#[cfg(target_os = "linux")]
pub fn set_type_of_service(socket: &SockRef<'_>, tos: u32) -> io::Result<()> {
    if socket.local_addr()?.is_ipv6() { socket.set_tclass_v6(tos) } else { socket.set_tos_v4(tos) }
}

/// The type of service (IPv4) or the traffic class (IPv6).
#[cfg(target_os = "linux")]
pub fn type_of_service(socket: &SockRef<'_>) -> io::Result<u32> {
    if socket.local_addr()?.is_ipv6() { socket.tclass_v6() } else { socket.tos_v4() }
}

/// Sets the type of service (IPv4).
#[cfg(not(target_os = "linux"))]
pub fn set_type_of_service(socket: &SockRef<'_>, tos: u32) -> io::Result<()> {
    socket.set_tos_v4(tos)
}

/// The type of service (IPv4).
#[cfg(not(target_os = "linux"))]
pub fn type_of_service(socket: &SockRef<'_>) -> io::Result<u32> {
    socket.tos_v4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn connected() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    #[test]
    fn keep_alive_reaches_the_kernel() {
        let stream = connected();
        let socket = SockRef::from(&stream);
        set_keep_alive(&socket, true, 61, 7, 3).unwrap();
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(61));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        }
        set_keep_alive(&socket, false, 0, 0, 0).unwrap();
        assert!(!socket.keepalive().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_type_of_service_reaches_the_kernel() {
        let stream = connected();
        let socket = SockRef::from(&stream);
        set_type_of_service(&socket, 0x10).unwrap();
        assert_eq!(type_of_service(&socket).unwrap(), 0x10);
    }
}
