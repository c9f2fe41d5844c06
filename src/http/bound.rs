//! Sockets that listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use socket2::{Domain, Protocol, Socket, Type};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP port.
    Port {
        /// 0: any free one.
        port: u16,
        /// None: all addresses of both families.
        host: Option<IpAddr>,
        /// An IPv6 address serves no IPv4 clients.
        ipv6_only: bool,
        /// Other sockets may listen on the same port, and the kernel distributes the connections.
        shared: bool,
    },
    /// A UNIX socket.
    Path(PathBuf),
}

/// A listening socket. The file of a UNIX socket is removed with it.
#[derive(Debug)]
pub enum Bound {
    /// A TCP port.
    Port(TcpListener),
    /// A UNIX socket, and the path of its file.
    #[cfg(unix)]
    Path(std::os::unix::net::UnixListener, PathBuf),
}

impl Bound {
    /// Binds a socket as Node does.
    ///
    /// # Errors
    /// Those of `socket`, `bind` and `listen`: the port is taken, or reserved for the superuser; UNIX sockets where
    /// there are none.
    pub fn at(place: &Place, backlog: i32) -> io::Result<Self> {
        match place {
            Place::Port { port, host: Some(host), ipv6_only, shared } => {
                listen_on((*host, *port).into(), *ipv6_only, *shared, backlog).map(Self::Port)
            }
            Place::Port { port, host: None, ipv6_only, shared } => {
                match listen_on((Ipv6Addr::UNSPECIFIED, *port).into(), *ipv6_only, *shared, backlog) {
                    Err(error) if has_no_ipv6(&error) => {
                        listen_on((Ipv4Addr::UNSPECIFIED, *port).into(), false, *shared, backlog)
                    }
                    result => result,
                }
                .map(Self::Port)
            }
            #[cfg(unix)]
            Place::Path(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.bind(&socket2::SockAddr::unix(path)?)?;
                let bound = Self::Path(socket.into(), path.clone());
                let Self::Path(listener, _) = &bound else { return Ok(bound) };
                socket2::SockRef::from(listener).listen(backlog)?;
                listener.set_nonblocking(true)?;
                Ok(bound)
            }
            #[cfg(not(unix))]
            Place::Path(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The address of a port.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Port(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Path(..) => None,
        }
    }
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EINVAL))
}

fn listen_on(address: SocketAddr, ipv6_only: bool, shared: bool, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    // on other systems this would let others take the port over
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if shared {
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        #[cfg(not(unix))]
        return Err(io::ErrorKind::Unsupported.into());
    }
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16, shared: bool) -> Place {
        Place::Port { port, host: Some(Ipv4Addr::LOCALHOST.into()), ipv6_only: false, shared }
    }

    #[test]
    fn a_port_is_bound_where_it_was_asked_for_and_not_twice() {
        let bound = Bound::at(&loopback(0, false), 511).unwrap();
        let address = bound.address().unwrap();
        assert_eq!(address.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let error = Bound::at(&loopback(address.port(), false), 511).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let all = Bound::at(&Place::Port { port: 0, host: None, ipv6_only: false, shared: false }, 511).unwrap();
        assert!(all.address().unwrap().ip().is_unspecified());
    }

    #[cfg(unix)]
    #[test]
    fn a_shared_port_is_bound_by_all_who_share_it() {
        let bound = Bound::at(&loopback(0, true), 511).unwrap();
        let port = bound.address().unwrap().port();
        Bound::at(&loopback(port, true), 511).unwrap();
        assert!(Bound::at(&loopback(port, false), 511).is_err());
    }
}
