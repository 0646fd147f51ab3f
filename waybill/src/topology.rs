//! `waybill topology`: the queues and exchanges for an administrator to make, and what each process may do with them.

use std::collections::BTreeMap;

use anyhow::anyhow;
use bus::amqp::check_urls;
use bus::topology::{Argument, Part, RetryDelays, Topology, WorkQueue};
use clap::Args;
use schema::pattern::Service;
use serde::Serialize;
use service_kit::config::{ConfigErrors, Secret};

use crate::output::{OutputArgs, columns};

/// Print the queues and exchanges that an administrator makes if the processes may not
///
/// As JSON it is a definitions file, which `rabbitmqctl import_definitions` and the management plugin import. As text it
/// lists the queues, and the fewest permissions that each process works with.
#[derive(Args, Debug)]
pub(crate) struct TopologyArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// The broker, whose virtual host is named in the definitions; it is not connected to
    #[arg(
        long,
        env = "RABBITMQ_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Message bus"
    )]
    rabbitmq_url: Option<Secret>,
    /// Prefix of every exchange and queue
    #[arg(long, env = "BUS_NAMESPACE", default_value = "waybill", value_name = "NAME")]
    #[arg(help_heading = "Message bus")]
    bus_namespace: String,
    /// Pauses before failed work is tried again, as the services have them: each has a queue of its own
    #[arg(long, env = "RETRY_DELAYS", default_value = "1s,5s,30s,2m", value_name = "DURATIONS")]
    #[arg(help_heading = "Message bus")]
    retry_delays: String,
}

pub(crate) fn run(args: &TopologyArgs) -> anyhow::Result<()> {
    let mut errors = ConfigErrors::default();
    let url = errors.url("RABBITMQ_URL", args.rabbitmq_url.as_ref(), &["amqp", "amqps"], check_urls);
    let namespace = errors.name("BUS_NAMESPACE", &args.bus_namespace);
    let retry_delays = errors.retry_delays(&args.retry_delays);
    let (url, topology) = errors.finish((url, Topology::new(namespace, RetryDelays(retry_delays))))?;
    let virtual_host = match url {
        Some(url) => {
            bus::amqp::virtual_host(url.expose()).map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?
        }
        None => "/".to_owned(),
    };
    args.output.print(&Definitions::new(&topology, &virtual_host), |_| text(&topology, &virtual_host))
}

/// A definitions file of RabbitMQ.
#[derive(Debug, Serialize)]
struct Definitions {
    exchanges: Vec<Exchange>,
    queues: Vec<Queue>,
    bindings: Vec<Binding>,
}

#[derive(Debug, Serialize)]
struct Exchange {
    name: String,
    vhost: String,
    #[serde(rename = "type")]
    kind: &'static str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: BTreeMap<&'static str, Argument>,
}

#[derive(Debug, Serialize)]
struct Queue {
    name: String,
    vhost: String,
    durable: bool,
    auto_delete: bool,
    arguments: BTreeMap<&'static str, Argument>,
}

#[derive(Debug, Serialize)]
struct Binding {
    source: String,
    vhost: String,
    destination: String,
    destination_type: &'static str,
    routing_key: String,
    arguments: BTreeMap<&'static str, Argument>,
}

impl Definitions {
    fn new(topology: &Topology, virtual_host: &str) -> Self {
        let vhost = || virtual_host.to_owned();
        let exchanges = topology.exchanges().into_iter().map(|exchange| Exchange {
            name: exchange.name,
            vhost: vhost(),
            kind: exchange.kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: BTreeMap::new(),
        });
        let queues = topology.queues().into_iter().map(|queue| Queue {
            arguments: queue.arguments().into_iter().collect(),
            name: queue.name,
            vhost: vhost(),
            durable: true,
            auto_delete: false,
        });
        let bindings = topology.bindings().into_iter().map(|binding| Binding {
            source: binding.exchange,
            vhost: vhost(),
            destination: binding.queue,
            destination_type: "queue",
            routing_key: binding.routing_key,
            arguments: BTreeMap::new(),
        });
        Self { exchanges: exchanges.collect(), queues: queues.collect(), bindings: bindings.collect() }
    }
}

/// The regular expressions of `rabbitmqctl set_permissions`.
#[derive(Debug, PartialEq, Eq)]
struct Permissions {
    configure: String,
    write: String,
    read: String,
}

impl Permissions {
    /// What a process needs if an administrator makes the topology. Exclusive queues are the process's own: it declares,
    /// binds and consumes them. `amq.default` is the exchange through which queues are published to by name.
    fn fewest(topology: &Topology, part: Part) -> Self {
        let exclusive = format!("{}.{}.", topology.namespace, part.process());
        let has_exclusive_queues = part != Part::Service(Service::Customer);
        let own = has_exclusive_queues.then(|| format!("{}.*", escaped(&exclusive)));
        let (events, dead_letter) = (topology.events_exchange(), topology.dead_letter_exchange());
        let mut write = vec!["amq.default".to_owned()];
        let mut read = Vec::new();
        match part {
            Part::Gateway => read.push(events),
            Part::Service(service) => {
                read.push(topology.requests(service));
                match service {
                    Service::Order => {
                        read.push(topology.work(WorkQueue::OrderCommands));
                        write.extend([events, dead_letter]);
                    }
                    Service::Inventory => {
                        read.push(topology.work(WorkQueue::InventoryOrderEvents));
                        write.push(dead_letter);
                    }
                    Service::Customer => {}
                }
            }
            // Reads and replays dead letters.
            Part::Whole => read.extend(WorkQueue::ALL.map(|queue| topology.dead(queue))),
        }
        let any_of = |names: &[String]| {
            let names = names.iter().map(|name| escaped(name)).chain(own.clone());
            format!("^({})$", names.collect::<Vec<_>>().join("|"))
        };
        let configure = own.as_ref().map_or_else(|| "^$".to_owned(), |own| format!("^{own}$"));
        Self { configure, write: any_of(&write), read: any_of(&read) }
    }
}

/// A name as a regular expression. Names have no other special characters.
fn escaped(name: &str) -> String {
    name.replace('.', "[.]")
}

fn text(topology: &Topology, virtual_host: &str) -> String {
    let rows: Vec<Vec<String>> = topology
        .queues()
        .into_iter()
        .map(|queue| {
            let arguments = queue.arguments().into_iter().map(|(name, value)| match value {
                Argument::Text(text) => format!("{name}={text}"),
                Argument::Number(number) => format!("{name}={number}"),
            });
            vec![queue.name.clone(), arguments.collect::<Vec<_>>().join(" ")]
        })
        .collect();
    let exchanges =
        topology.exchanges().into_iter().map(|exchange| vec![exchange.name, exchange.kind.to_owned()]);
    let bindings = topology
        .bindings()
        .into_iter()
        .map(|it| vec![it.queue, format!("to {} by {}", it.exchange, it.routing_key)]);
    let permissions = Part::PROCESSES.into_iter().chain([Part::Whole]).map(|part| {
        let Permissions { configure, write, read } = Permissions::fewest(topology, part);
        format!(
            "rabbitmqctl set_permissions -p '{virtual_host}' {} '{configure}' '{write}' '{read}'",
            part.process()
        )
    });
    format!(
        "{}\n\n{}\n\n{}\n\nThe fewest permissions, for a user of each process and one of the operator's commands:\n\n{}",
        columns(&["EXCHANGE", "TYPE"], &exchanges.collect::<Vec<_>>()),
        columns(&["QUEUE", "ARGUMENTS"], &rows),
        columns(&["BOUND", ""], &bindings.collect::<Vec<_>>()),
        permissions.collect::<Vec<_>>().join("\n"),
    )
}
