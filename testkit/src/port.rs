//! Ports for servers that can't bind to port 0, or that must come back on the same port.

use std::net::{Ipv4Addr, TcpListener};

use uuid::Uuid;

/// Below the range from which systems take ports for outgoing connections, so that a server which is away for a
/// moment finds its port free when it comes back.
const RANGE: std::ops::Range<u16> = 15_000..30_000;

/// A loopback port on which nothing listens. No other call gets it while this process lives.
///
/// # Panics
/// When a thousand random ports are all taken.
#[must_use]
pub fn free_port() -> u16 {
    (0..1_000)
        .map(|_| random_port())
        .find(|&port| is_free(port) && reserve(port))
        .expect("one of a thousand ports is free")
}

fn random_port() -> u16 {
    let span = u128::from(RANGE.end - RANGE.start);
    let offset = Uuid::new_v4().as_u128() % span;
    RANGE.start + u16::try_from(offset).expect("the range is shorter than 65536")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Claims the port among all test processes of this machine. An abstract socket leaves no file and ends with its process.
#[cfg(target_os = "linux")]
fn reserve(port: u16) -> bool {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::sync::Mutex;

    static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

    let name = format!("waybill-testkit-port-{port}");
    let Ok(claim) = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name))
    else {
        return false;
    };
    RESERVED.lock().expect("no holder of the lock panics").push(claim);
    true
}

#[cfg(not(target_os = "linux"))]
fn reserve(_port: u16) -> bool {
    true
}
