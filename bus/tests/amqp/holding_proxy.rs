//! A TCP proxy that can hold back the bytes that clients send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy before a server. While it holds, it accepts connections and keeps the clients' bytes for later.
pub(crate) struct HoldingProxy {
    port: u16,
    open: watch::Sender<bool>,
    held: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl HoldingProxy {
    /// A proxy before the server on this local port, which forwards at first.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, is_open) = watch::channel(true);
        let held = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let (bytes, living) = (Arc::clone(&held), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carrying = carry(client, server, is_open.clone(), Arc::clone(&bytes));
                let living = Arc::clone(&living);
                living.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    carrying.await;
                    living.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, open, held, connections }
    }

    /// The same URL with the proxy in between.
    pub(crate) fn url(&self, url: &str) -> String {
        let (rest, vhost) = url.rsplit_once('/').unwrap();
        let (rest, _) = rest.rsplit_once(':').unwrap();
        format!("{rest}:{}/{vhost}", self.port)
    }

    pub(crate) fn hold(&self) {
        self.held.store(0, Ordering::SeqCst);
        self.open.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }

    /// Connections that clients have not closed.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Bytes received since it began to hold.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, server: u16, mut open: watch::Receiver<bool>, held: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server))).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut waiting = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            Ok(length) = from_client.read(&mut buffer) => {
                if length == 0 {
                    break;
                }
                waiting.extend_from_slice(&buffer[..length]);
                held.fetch_add(length, Ordering::SeqCst);
            }
            Ok(()) = open.changed() => {}
            else => break,
        }
        if *open.borrow() {
            if to_server.write_all(&waiting).await.is_err() {
                break;
            }
            waiting.clear();
        }
    }
    back.abort();
}
