//! A TCP proxy that can be set to misbehave.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes a second and direction in [`Mode::Throttle`].
const THROTTLED: usize = 64 * 1024;

/// What the proxy does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Forwards it.
    Pass,
    /// Nothing: connections stay open, new ones too, and nothing comes through.
    Silent,
    /// Resets every connection, and new ones as soon as they come.
    Reset,
    /// Forwards it in pieces of 1 to 16 bytes.
    Slice,
    /// Forwards it in order, 0 to 400 ms later.
    Delay,
    /// Forwards 64 KiB a second.
    Throttle,
}

/// Listens on a loopback port of its own and connects each caller with `upstream`. Gone when dropped.
pub(crate) struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (mode, modes) = watch::channel(Mode::Pass);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, modes));
        Ok(Self { port, mode, _tasks: tasks })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes the mode, for open connections too.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(listener: TcpListener, upstream: u16, modes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((caller, _)) = listener.accept() => {
                connections.spawn(connect(caller, upstream, modes.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(caller: TcpStream, upstream: u16, mut modes: watch::Receiver<Mode>) {
    while *modes.borrow_and_update() == Mode::Silent {
        if modes.changed().await.is_err() {
            return;
        }
    }
    if *modes.borrow() == Mode::Reset {
        return reset(&caller);
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return reset(&caller) };
    drop((caller.set_nodelay(true), server.set_nodelay(true)));
    let (from_caller, to_caller) = caller.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) =
        (forward(from_caller, to_server, modes.clone()), forward(from_server, to_caller, modes.clone()));
    let cut = async {
        // The sender outlives its tasks.
        drop(modes.wait_for(|mode| *mode == Mode::Reset).await);
    };
    let ends = async {
        tokio::join!(up, down);
    };
    tokio::select! {
        () = ends => {}
        () = cut => {}
    }
}

/// Makes the connection end with RST rather than FIN when it is dropped.
fn reset(stream: &TcpStream) {
    drop(stream.set_zero_linger());
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>) {
    reset(to.as_ref());
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // While silent it isn't read either, so that senders block as with a dead peer.
        if modes.wait_for(|mode| *mode != Mode::Silent).await.is_err() {
            return;
        }
        let Ok(read @ 1..) = from.read(&mut buffer).await else { break };
        if modes.wait_for(|mode| *mode != Mode::Silent).await.is_err() {
            return;
        }
        let mode = *modes.borrow();
        if hand_on(&mut to, &buffer[..read], mode).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

async fn hand_on(to: &mut OwnedWriteHalf, bytes: &[u8], mode: Mode) -> std::io::Result<()> {
    match mode {
        Mode::Slice => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let size = rand::random_range(1..=16).min(rest.len());
                to.write_all(&rest[..size]).await?;
                to.flush().await?;
                tokio::task::yield_now().await;
                rest = &rest[size..];
            }
            Ok(())
        }
        Mode::Delay => {
            let delay = rand::random_range(0..=400);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            to.write_all(bytes).await
        }
        Mode::Throttle => {
            for piece in bytes.chunks(THROTTLED / 20) {
                tokio::time::sleep(
                    Duration::from_millis(50) * u32::try_from(piece.len()).unwrap_or(1)
                        / u32::try_from(THROTTLED / 20).unwrap_or(1),
                )
                .await;
                to.write_all(piece).await?;
            }
            Ok(())
        }
        Mode::Pass | Mode::Silent | Mode::Reset => to.write_all(bytes).await,
    }
}
