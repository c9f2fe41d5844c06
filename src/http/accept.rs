//! Accepts connections.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;

use super::bound::Bound;
use super::listener::Listener;
use crate::runtime::{Command, Open};

impl Listener {
    /// Has an I/O thread accept connections until closed. The listener counts as open from now on.
    pub fn listen(self: &Arc<Self>, bound: Bound) {
        self.accepting.fetch_add(1, SeqCst);
        let accepting = Accepting { open: Open::new(self.clone()), closes: self.closes.load(SeqCst) };
        self.options.commands.send(Command::Run(Box::new(move || accepting.start(bound))));
    }
}

/// A listener on its way to its I/O thread.
#[derive(Debug)]
struct Accepting {
    open: Open<Listener>,
    closes: usize,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let listener = self.open.counter();
        listener.accepting.fetch_sub(1, SeqCst);
    }
}

impl Accepting {
    /// Accepts connections on the current runtime until the listener is closed.
    fn start(self, bound: Bound) {
        tokio::spawn(async move {
            match bound {
                Bound::Port(socket) => {
                    let Ok(socket) = TcpListener::from_std(socket) else { return };
                    self.accept(
                        |cx| socket.poll_accept(cx),
                        |listener, (stream, remote)| {
                            // on Linux it has that from the listening socket
                            #[cfg(not(target_os = "linux"))]
                            let _ = stream.set_nodelay(true);
                            let local = stream.local_addr().unwrap_or(remote);
                            listener.serve_stream(stream, Some([remote, local]));
                        },
                    )
                    .await;
                }
                #[cfg(unix)]
                Bound::Path(socket, path) => {
                    let socket = tokio::net::UnixListener::from_std(socket);
                    if let Ok(socket) = &socket {
                        self.accept(
                            |cx| socket.poll_accept(cx),
                            |listener, (stream, _)| {
                                listener.serve_stream(stream, None);
                            },
                        )
                        .await;
                    }
                    drop(socket);
                    let _ = std::fs::remove_file(path);
                }
            }
        });
    }

    async fn accept<T>(
        &self,
        next: impl Fn(&mut Context<'_>) -> Poll<io::Result<T>>,
        serve: impl Fn(Arc<Listener>, T),
    ) {
        let listener = self.open.counter();
        loop {
            let closed = listener.closed.notified();
            if listener.closes.load(SeqCst) != self.closes {
                return;
            }
            tokio::select! {
                () = closed => {}
                accepted = poll_fn(&next) => match accepted {
                    Ok(accepted) => serve(listener.clone(), accepted),
                    // the system has no descriptors or memory, so that others get time to end
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
    }
}
