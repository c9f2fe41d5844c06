//! The client side of TLS for a non-blocking socket. Certificates are not verified: the server is our own child.

use crate::net::{self, Io};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::sync::Arc;

#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Clone)]
pub struct Config(Arc<ClientConfig>);

impl Config {
    pub fn new() -> Config {
        let provider = ring::default_provider();
        let mut c = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth();
        c.resumption = rustls::client::Resumption::disabled();
        Config(Arc::new(c))
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

/// Lets rustls read and write the descriptor.
struct Fd(i32);

impl Read for Fd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        answer(net::read(self.0, buf))
    }
}

impl Write for Fd {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        answer(net::write(self.0, buf))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn answer(io: Io) -> io::Result<usize> {
    match io {
        Io::Bytes(n) => Ok(n),
        Io::Eof => Ok(0),
        Io::Block => Err(io::ErrorKind::WouldBlock.into()),
        Io::Err(e) => Err(e),
    }
}

pub struct Tls {
    session: ClientConnection,
}

impl Tls {
    pub fn new(config: &Config) -> Tls {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(config.0.clone(), name).expect("a session");
        session.set_buffer_limit(None);
        Tls { session }
    }

    /// Encrypts, and writes what the socket takes; true when that was everything.
    pub fn send(&mut self, fd: i32, data: &[u8]) -> io::Result<bool> {
        self.session.writer().write_all(data)?;
        self.flush(fd)
    }

    pub fn flush(&mut self, fd: i32) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Fd(fd)) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Call until it blocks: epoll does not know what is decrypted already. May leave something to flush (handshake).
    pub fn read(&mut self, fd: i32, buf: &mut [u8]) -> Io {
        loop {
            match self.session.reader().read(buf) {
                Ok(0) => return Io::Eof,
                Ok(n) => return Io::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Io::Err(e),
            }
            match self.session.read_tls(&mut Fd(fd)) {
                Ok(0) => return Io::Eof,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Io::Block,
                Err(e) => return Io::Err(e),
            }
            if let Err(e) = self.session.process_new_packets() {
                return Io::Err(io::Error::other(e));
            }
        }
    }

    pub fn wants_write(&self) -> bool {
        self.session.wants_write()
    }
}
