//! What scenarios share: the servers, and a system that most of them measure, each started when it is first needed.

use anyhow::Result;
use testkit::{Postgres, RabbitMq};
use tokio::sync::OnceCell;

use crate::figures::Figures;
use crate::options::Options;
use crate::system::{Catalogue, FourProcesses, Gateway};
use crate::usage::{CpuTimes, Watched};
use crate::wrk::Requests;

/// Orders of the system that scenarios share, at the beginning.
const ORDERS: usize = 10_000;

/// The servers of a run.
#[derive(Default)]
pub(crate) struct Servers {
    rabbitmq: OnceCell<RabbitMq>,
    postgres: OnceCell<Postgres>,
}

impl Servers {
    pub(crate) async fn rabbitmq(&self) -> Result<&RabbitMq> {
        self.rabbitmq.get_or_try_init(RabbitMq::start).await
    }

    pub(crate) async fn postgres(&self) -> Result<&Postgres> {
        self.postgres.get_or_try_init(Postgres::start).await
    }
}

/// One run.
pub(crate) struct Bench<'a> {
    pub(crate) options: Options,
    servers: &'a Servers,
    system: OnceCell<FourProcesses<'a>>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(options: Options, servers: &'a Servers) -> Self {
        Self { options, servers, system: OnceCell::new() }
    }

    pub(crate) async fn rabbitmq(&self) -> Result<&'a RabbitMq> {
        self.servers.rabbitmq().await
    }

    pub(crate) async fn postgres(&self) -> Result<&'a Postgres> {
        self.servers.postgres().await
    }

    /// The four processes that most scenarios measure, with at least [`Bench::orders`] orders.
    pub(crate) async fn system(&self) -> Result<&FourProcesses<'a>> {
        self.system.get_or_try_init(|| self.new_system(Catalogue::default(), self.orders())).await
    }

    /// Orders of the shared system at the beginning.
    pub(crate) fn orders(&self) -> usize {
        self.options.scaled(ORDERS, 2_500)
    }

    /// Four processes of a scenario's own.
    pub(crate) async fn new_system(&self, catalogue: Catalogue, orders: usize) -> Result<FourProcesses<'a>> {
        let (rabbitmq, postgres) = (self.servers.rabbitmq().await?, self.servers.postgres().await?);
        FourProcesses::start(rabbitmq, postgres, catalogue, orders).await
    }

    /// One round of load on an address, with the CPU times of `watched` and of the client.
    pub(crate) async fn load(
        &self,
        requests: &Requests,
        address: &str,
        connections: usize,
        watched: &Watched,
    ) -> Result<Figures> {
        let before = CpuTimes::read(watched)?;
        let report = requests.send(&[address], connections, self.options.time()).await?;
        let mut cpu = CpuTimes::read(watched)?.since(&before);
        cpu.insert("client", report.cpu_seconds);
        Ok(report.figures().with_cpu(&cpu, report.requests))
    }

    /// One round of load that the gateways of four processes or more share, with their peak of memory too.
    pub(crate) async fn load_system(
        &self,
        system: &FourProcesses<'_>,
        requests: &Requests,
        connections: usize,
    ) -> Result<Figures> {
        let (watched, gateways) = (system.watched()?, addresses(&system.gateways()));
        system.reset_peak()?;
        let before = CpuTimes::read(&watched)?;
        let report = requests.send(&gateways, connections, self.options.time()).await?;
        let mut cpu = CpuTimes::read(&watched)?.since(&before);
        cpu.insert("client", report.cpu_seconds);
        let peak_mb = Some(megabytes(system.peak_bytes()?));
        Ok(Figures { peak_mb, ..report.figures().with_cpu(&cpu, report.requests) })
    }
}

/// Host and port of each gateway.
pub(crate) fn addresses<'a>(gateways: &[&'a Gateway]) -> Vec<&'a str> {
    gateways.iter().map(|gateway| gateway.address.as_str()).collect()
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
