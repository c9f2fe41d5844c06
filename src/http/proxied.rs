//! Connections that proxies forward: reads what the proxy tells, before the client's bytes.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::listener::Listener;
use super::proxy_header::{InvalidProxyHeader, MAX_PROXY_HEADER, ProxyHeader};
use crate::runtime::contract::PROXY_HEADER_TIMEOUT;
use crate::runtime::{Open, Stream};

impl Listener {
    /// Serves one connection on the current runtime. `ends`: of TCP, the client's and ours. If it comes from a proxy,
    /// the client's end is the one that the proxy tells; a connection without a valid header is ended.
    pub fn serve_stream<S>(self: Arc<Self>, mut stream: S, ends: Option<[SocketAddr; 2]>)
    where
        S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
    {
        let (remote, local) = (ends.map(|[remote, _]| remote), ends.map(|[_, local]| local));
        let proxies = self.options.settings.proxies.as_ref();
        if !proxies.is_some_and(|proxies| proxies.have(remote.map(|remote| remote.ip()))) {
            return self.serve(stream, remote, local, Vec::new());
        }
        let closes = self.closes.load(SeqCst);
        tokio::spawn(async move {
            let _open = Open::new(self.clone());
            let closed = self.closed.notified();
            if self.closes.load(SeqCst) != closes {
                return;
            }
            let read = tokio::select! {
                () = closed => return,
                read = tokio::time::timeout(PATIENCE, read_header(&mut stream)) => read,
            };
            match read {
                Ok(Some(Ok((header, rest)))) => self.clone().serve(stream, header.client.or(remote), local, rest),
                Ok(Some(Err(_))) | Err(_) => self.count_invalid_proxy_header(),
                // the peer has gone, as those do that only try whether the port is open
                Ok(None) => {}
            }
        });
    }
}

/// The time that a proxy has for its header.
const PATIENCE: Duration = Duration::from_millis(PROXY_HEADER_TIMEOUT as u64);

/// Reads the header, and what has come behind it. `None`: the stream ends before.
async fn read_header<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Option<Result<(ProxyHeader, Vec<u8>), InvalidProxyHeader>> {
    // a header that needs more bytes than these is invalid
    let mut bytes = vec![0; MAX_PROXY_HEADER];
    let mut length = 0;
    loop {
        let mut buffer = ReadBuf::new(&mut bytes[length..]);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await.ok()?;
        let read = buffer.filled().len();
        if read == 0 {
            return None;
        }
        length += read;
        match ProxyHeader::parse(&bytes[..length]) {
            Ok(Some(header)) => return Some(Ok((header, bytes[header.length..length].to_vec()))),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}
