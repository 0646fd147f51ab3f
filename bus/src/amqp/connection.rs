//! One AMQP connection, opened and closed within bounds.

use lapin::options::ConfirmSelectOptions;
use lapin::tcp::{AMQPUriTcpExt as _, TLSConfig};
use lapin::{AsyncTcpStream, Channel, ConnectionProperties};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::brokers::Broker;
use super::channel::{bounded, is_of_another_channel};
use crate::transport::TransportError;

/// How long connecting and the AMQP handshake may take.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long the closing handshake may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Channel numbers that are tried before a connection is given up.
const CHANNEL_TRIES: u32 = 8;

/// A connection. Its input and output run on a thread of lapin's.
pub(super) struct Connection {
    inner: lapin::Connection,
    socket: Socket,
    /// Whether no more channels can be opened over it.
    is_worn_out: AtomicBool,
}

impl Connection {
    /// Opens a connection that does not reconnect by itself. The error says why it could not be opened.
    pub(super) async fn open(broker: &Broker, name: &str) -> Result<Self, String> {
        let socket = Socket::default();
        let mut unless_opened = ShutDownOnDrop(Some(socket.clone()));
        let opening = Self::handshake(broker, name, socket.clone());
        match tokio::time::timeout(OPEN_LIMIT, opening).await {
            Ok(Ok(inner)) => {
                unless_opened.0 = None;
                Ok(Self { inner, socket, is_worn_out: AtomicBool::new(false) })
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the broker did not answer within {OPEN_LIMIT:?}")),
        }
    }

    async fn handshake(broker: &Broker, name: &str, socket: Socket) -> lapin::Result<lapin::Connection> {
        let certificates = broker.root_certificates.clone();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()?;
        lapin::Connection::connector(
            broker.uri.clone(),
            runtime,
            async move |uri, runtime| {
                let tls = TLSConfig { cert_chain: certificates.as_deref(), ..TLSConfig::default() };
                let connecting = uri.connect_with_config_async(tls, &runtime);
                let stream =
                    tokio::time::timeout(OPEN_LIMIT, connecting).await.map_err(std::io::Error::from)??;
                let descriptor = match &stream {
                    AsyncTcpStream::Plain(tcp) => duplicate(tcp.get_ref()),
                    AsyncTcpStream::Rustls(tls) => duplicate(tls.get_ref().0.get_ref()),
                    _ => Err(std::io::Error::from(std::io::ErrorKind::Unsupported)),
                };
                socket.remember(descriptor?);
                Ok(stream)
            },
            properties,
        )
        .await
    }

    /// The connection's events from the first poll on.
    pub(super) fn events(&self) -> impl futures::Stream<Item = lapin::Event> + Send + 'static {
        self.inner.events_listener()
    }

    /// Whether it is connected and channels can be opened.
    pub(super) fn is_open(&self) -> bool {
        self.inner.status().connected() && !self.is_worn_out.load(Ordering::Relaxed)
    }

    /// Whether the broker blocks publishers.
    pub(super) fn is_blocked(&self) -> bool {
        self.inner.status().blocked()
    }

    /// Opens a channel. lapin 4.12 keeps the error that closed a channel under the channel's number for as long as the
    /// connection lives. If the number is used again, after 2047 channels, opening the channel fails with that error and
    /// the number is lost. Other numbers are tried then; if all of them fail, the connection counts as lost.
    pub(super) async fn channel(&self) -> Result<Channel, TransportError> {
        for _ in 0..CHANNEL_TRIES {
            let opening = async {
                match self.inner.create_channel().await {
                    Err(error) if is_of_another_channel(&error) => Ok(None),
                    opened => opened.map(Some),
                }
            };
            if let Some(channel) = bounded(opening).await? {
                return Ok(channel);
            }
        }
        self.is_worn_out.store(true, Ordering::Relaxed);
        Err(TransportError::Failed("the connection has no channels left".to_owned()))
    }

    pub(super) async fn confirming_channel(&self) -> Result<Channel, TransportError> {
        let channel = self.channel().await?;
        bounded(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    /// Closes the connection, with the closing handshake if the broker answers in time.
    pub(super) async fn close(&self) {
        let closing = self.inner.close(200, "OK".into());
        if !matches!(tokio::time::timeout(CLOSE_LIMIT, closing).await, Ok(Ok(()))) {
            tracing::debug!("a connection was closed without the closing handshake");
        }
        self.socket.shut_down();
    }
}

/// A second handle on a connection's socket. lapin, with its thread, waits without bound for a broker that accepts
/// connections and then sends nothing; shutting down the socket ends that.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Option<OwnedFd>>>);

impl Socket {
    fn remember(&self, descriptor: OwnedFd) {
        *self.0.lock().expect("nothing panics while it holds this lock") = Some(descriptor);
    }

    fn shut_down(&self) {
        let descriptor = self.0.lock().expect("nothing panics while it holds this lock").take();
        if let Some(descriptor) = descriptor
            && let Err(error) = std::net::TcpStream::from(descriptor).shutdown(Shutdown::Both)
        {
            tracing::debug!(%error, "the socket was closed already");
        }
    }
}

/// Ends a handshake whose caller has stopped waiting.
struct ShutDownOnDrop(Option<Socket>);

impl Drop for ShutDownOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            socket.shut_down();
        }
    }
}

fn duplicate(socket: &impl AsFd) -> std::io::Result<OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}
