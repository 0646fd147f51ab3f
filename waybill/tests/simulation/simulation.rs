//! The system of one run: two copies of order-service and one of inventory-service, stepped from a seed.

use bus::clock::IdSource;
use bus::clock::{Clock, ManualClock};
use bus::consumer::Consumer;
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::{Deliveries, ExclusiveQueue, SharedTransport, Target};
use embedded_broker::ManualBroker;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use inventory_service::Inventory;
use inventory_service::expired_holds::SettleExpiredHolds;
use inventory_service::stock::HoldTime;
use order_service::pending::RetryPending;
use order_service::place_order::PlaceOrders;
use order_service::requests::OrderRequests;
use order_service::{Context, Timeouts};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use schema::money::Currency;
use schema::order_events::OrderEvent;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use store::Database;
use store::relay::{Relay, Relayed};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{Client, draw_id};
use crate::fault_plan::{Fault, FaultPlan, Stalled};
use crate::ordered_link::OrderedLink;
use crate::template;

/// How long a hold lasts without news of its order.
const HOLD: Duration = Duration::from_secs(20);
/// Rounds that bring everything to rest, and how far each moves the clock: past every delay, lease and hold.
const ROUNDS_TO_REST: usize = 200;
const ROUND: Duration = Duration::from_secs(7);

pub(crate) struct Simulation {
    orders_database: Database,
    inventory_database: Database,
    pub(crate) client: Client,
    pub(crate) broker: ManualBroker,
    /// What a gateway's queue of events received, in order.
    pub(crate) recorded: Vec<OrderEvent>,
    rng: Arc<Mutex<StdRng>>,
    clock: Arc<ManualClock>,
    link: Arc<OrderedLink>,
    fault_plan: FaultPlan,
    context: Context,
    topology: Topology,
    stalled: Vec<Stalled>,
    system: System,
    _requests: Arc<OrderRequests>,
    folder: TempDir,
}

/// What a crash of everything takes with it.
struct System {
    transport: SharedTransport,
    live: Deliveries,
    placing: Arc<Consumer>,
    following: Arc<Consumer>,
    pending: Arc<RetryPending>,
    settling: SettleExpiredHolds,
    relays: [Arc<Relay>; 2],
}

struct SeededIds(Arc<Mutex<StdRng>>);

impl IdSource for SeededIds {
    fn fresh(&self) -> Uuid {
        draw_id(&mut self.0.lock().unwrap())
    }
}

impl Simulation {
    pub(crate) async fn new(seed: u64) -> Self {
        let folder = template::folder();
        template::copy_to(folder.path()).await;
        let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let clock = Arc::new(ManualClock::at(template::START.parse().unwrap()));
        let connect = async |name: &str| {
            let url = template::url(folder.path(), name);
            Database::connect(&url, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap()
        };
        let orders_database = connect("orders.sqlite").await;
        let inventory_database = connect("inventory.sqlite").await;
        let fault_plan = FaultPlan::default();
        let inventory = Inventory {
            database: inventory_database.clone(),
            currency: Currency::USD,
            hold_time: HoldTime(HOLD),
            failpoints: fault_plan.failpoints(),
        };
        let link = Arc::new(OrderedLink {
            rng: Arc::clone(&rng),
            calm: false.into(),
            inventory_away: false.into(),
            inventory,
            orders: OnceLock::new(),
        });
        // Budgets are measured on the machine's own clock, which must not influence a run.
        let forever = Duration::from_secs(3_600);
        let context = Context {
            database: orders_database.clone(),
            rpc: link.clone(),
            known_customers: Arc::default(),
            clock: clock.clone(),
            ids: Arc::new(SeededIds(Arc::clone(&rng))),
            committed: Arc::new(Notify::new()),
            failpoints: fault_plan.failpoints(),
            timeouts: Timeouts {
                place_timeout: forever,
                request_timeout: Duration::from_secs(5),
                pending_max_age: forever,
            },
        };
        let requests = Arc::new(OrderRequests(context.clone()));
        assert!(link.orders.set(Arc::downgrade(&requests)).is_ok(), "set once");
        let topology = Topology::new("simulation", RetryDelays::default());
        let broker = ManualBroker::new(topology.clone(), clock.clone());
        let system = System::boot(&broker, &context, &link).await;
        Self {
            orders_database,
            inventory_database,
            client: Client::default(),
            broker,
            recorded: Vec::new(),
            rng,
            clock,
            link,
            fault_plan,
            context,
            topology,
            stalled: Vec::new(),
            system,
            _requests: requests,
            folder,
        }
    }

    /// Does one random thing.
    pub(crate) async fn step(&mut self) {
        let drawn = self.draw(0..100);
        match drawn {
            0..24 => self.place().await,
            24..44 => self.deliver(WorkQueue::OrderCommands).await,
            44..60 => self.deliver(WorkQueue::InventoryOrderEvents).await,
            60..70 => self.relay().await,
            70..76 => self.retry_pending().await,
            76..79 => self.settle().await,
            79..87 => self.change().await,
            87..94 => self.pass_time(),
            94..97 => self.wake_one().await,
            97..99 => {
                let away = self.draw(0..2) == 0;
                self.link.inventory_away.store(away, Ordering::SeqCst);
            }
            _ => self.crash().await,
        }
        self.record_events();
    }

    /// Runs without faults until nothing is left to be done.
    pub(crate) async fn come_to_rest(&mut self) {
        self.link.calm.store(true, Ordering::SeqCst);
        for stalled in std::mem::take(&mut self.stalled) {
            stalled.resume().await;
        }
        for _ in 0..ROUNDS_TO_REST {
            for queue in WorkQueue::ALL {
                while self.ready(&self.topology.work(queue)) > 0 {
                    self.deliver_all(queue).await;
                }
            }
            let _ = self.system.pending.tick().await.unwrap();
            self.system.settling.tick(self.clock.now()).await.unwrap();
            for relay in &self.system.relays {
                while matches!(relay.tick().await.unwrap(), Relayed::Published(1..)) {}
            }
            self.record_events();
            self.clock.advance(ROUND);
            self.broker.tick(self.clock.now());
        }
    }

    /// Closes the databases: thousands of runs share one process.
    pub(crate) async fn end(self) {
        let (orders, inventory) = (self.orders_database.clone(), self.inventory_database.clone());
        drop(self);
        orders.close().await;
        inventory.close().await;
    }

    pub(crate) fn ready(&self, queue: &str) -> usize {
        self.broker.queues().into_iter().find(|(name, _)| name == queue).map_or(0, |(_, ready)| ready)
    }

    /// Where the databases' files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    fn draw(&self, range: std::ops::Range<u32>) -> u32 {
        self.rng.lock().unwrap().random_range(range)
    }

    /// The fault of the next handler, if any.
    fn plan(&self) -> Option<(u32, Fault)> {
        let drawn = self.draw(0..100);
        match drawn {
            0..10 => Some((drawn % 3, Fault::Crash)),
            10..18 => Some((drawn % 3, Fault::Stall)),
            _ => None,
        }
    }

    async fn run(&mut self, work: LocalBoxFuture<'static, ()>) {
        let plan = self.plan();
        let stalled = self.fault_plan.run(plan, work).await;
        self.stalled.extend(stalled);
    }

    async fn place(&mut self) {
        let message = self.client.places(&mut self.rng.lock().unwrap(), self.clock.now());
        let copies = if self.draw(0..10) == 0 { 2 } else { 1 };
        let target = Target::Queue(self.topology.work(WorkQueue::OrderCommands));
        for _ in 0..copies {
            self.publish(target.clone(), message.clone()).await;
        }
    }

    async fn publish(&self, target: Target, message: Message) {
        let published = self.system.transport.publish(vec![(target, message)], Duration::from_secs(60)).await;
        assert_eq!(published, [Ok(())]);
    }

    /// A few messages, from anywhere in the queue, one of them perhaps to be delivered again.
    async fn deliver(&mut self, queue: WorkQueue) {
        let name = self.topology.work(queue);
        let mut batch = Vec::new();
        for _ in 0..self.draw(1..8) {
            let ready = u32::try_from(self.ready(&name)).unwrap();
            let place = if ready == 0 { break } else { self.draw(0..ready) as usize };
            batch.extend(self.broker.take_at(&name, place));
        }
        let Some(first) = batch.first() else { return };
        if self.draw(0..8) == 0 {
            let copy = first.message.clone();
            self.publish(Target::Queue(name), copy).await;
        }
        let consumer = self.system.consumer(queue);
        self.run(async move { consumer.process(batch, &CancellationToken::new()).await }.boxed_local()).await;
    }

    async fn deliver_all(&mut self, queue: WorkQueue) {
        let name = self.topology.work(queue);
        let batch: Vec<_> = std::iter::from_fn(|| self.broker.take(&name)).take(50).collect();
        self.system.consumer(queue).process(batch, &CancellationToken::new()).await;
    }

    async fn relay(&mut self) {
        let relay = Arc::clone(&self.system.relays[self.draw(0..2) as usize]);
        let work = async move {
            let _ = relay.tick().await;
        };
        self.run(work.boxed_local()).await;
    }

    async fn retry_pending(&mut self) {
        let pending = Arc::clone(&self.system.pending);
        let work = async move {
            let _ = pending.tick().await;
        };
        self.run(work.boxed_local()).await;
    }

    async fn settle(&mut self) {
        let (settling, now) = (self.system.settling.clone(), self.clock.now());
        let work = async move {
            // Asking may fail; it is asked again.
            let _ = settling.tick(now).await;
        };
        self.run(work.boxed_local()).await;
    }

    async fn change(&mut self) {
        let asked = self.client.change(&mut self.rng.lock().unwrap());
        let Some(index) = asked else { return };
        self.client.ask_for(&*self.link, index).await;
    }

    fn pass_time(&mut self) {
        let by = [50, 1_000, 5_000, 40_000][self.draw(0..4) as usize];
        self.clock.advance(Duration::from_millis(by));
        self.broker.tick(self.clock.now());
    }

    async fn wake_one(&mut self) {
        if self.stalled.is_empty() {
            return;
        }
        let index = self.draw(0..u32::try_from(self.stalled.len()).unwrap()) as usize;
        self.stalled.swap_remove(index).resume().await;
    }

    /// Everything dies at once, the broker included, and starts again.
    async fn crash(&mut self) {
        self.stalled.clear();
        self.broker.crash();
        self.system = System::boot(&self.broker, &self.context, &self.link).await;
    }

    /// A gateway that keeps up receives everything before the next step.
    fn record_events(&mut self) {
        let queues: Vec<String> = self.broker.queues().into_iter().map(|(name, _)| name).collect();
        for queue in queues.iter().filter(|name| name.ends_with(".events")) {
            while self.broker.deliver(queue, 0) {
                while let Ok(delivery) = self.system.live.try_recv() {
                    self.recorded.push(bus::events::read_event(&delivery.message).unwrap());
                }
            }
        }
    }
}

impl System {
    async fn boot(broker: &ManualBroker, context: &Context, link: &Arc<OrderedLink>) -> Self {
        let transport = broker.transport("system.1");
        let live = ExclusiveQueue {
            purpose: "events",
            event_bindings: vec!["order.#".to_owned()],
            max_length: 100_000,
        };
        let (_, live) = transport.consume_exclusive(live).await.unwrap();
        let consumer = |queue, handler| {
            let (transport, clock) = (Arc::clone(&transport), Arc::clone(&context.clock));
            Arc::new(Consumer {
                transport,
                queue,
                handler,
                prefetch: 100,
                batch_max: 50,
                clock,
                heartbeat: Heartbeat::new(),
            })
        };
        let relay = || Arc::new(order_service::service::relay(context, Arc::clone(&transport)));
        Self {
            live,
            placing: consumer(WorkQueue::OrderCommands, Arc::new(PlaceOrders(context.clone()))),
            following: consumer(WorkQueue::InventoryOrderEvents, Arc::new(link.inventory.clone())),
            pending: Arc::new(RetryPending::new(context.clone())),
            settling: SettleExpiredHolds {
                inventory: link.inventory.clone(),
                rpc: link.clone(),
                timeout: Duration::from_secs(3_600),
            },
            relays: [relay(), relay()],
            transport,
        }
    }

    fn consumer(&self, queue: WorkQueue) -> Arc<Consumer> {
        match queue {
            WorkQueue::OrderCommands => Arc::clone(&self.placing),
            WorkQueue::InventoryOrderEvents => Arc::clone(&self.following),
        }
    }
}
