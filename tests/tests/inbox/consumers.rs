//! Consumers of a real topic, several of one group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_postgres::{Manager, Pool};
use outboxd_client::Message;
use outboxd_client::inbox::kafka::{Consumer, ConsumerError};
use outboxd_client::inbox::{HandlerError, Inbox};
use outboxd_sandbox::PgVersion;
use outboxd_tests::database::connect;
use outboxd_tests::patience::eventually;
use outboxd_tests::scene::unique;
use outboxd_tests::servers;
use outboxd_tests::topic::{Cluster, Topic};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::shop::{Shop, pay};

/// A payment service, and the topic that its orders come by.
pub(crate) struct Orders {
    pub(crate) shop: Shop,
    pub(crate) topic: Topic,
    pub(crate) cluster: Cluster,
}

impl Orders {
    pub(crate) async fn new(partitions: i32) -> Self {
        let shop = Shop::new().await;
        let cluster = Cluster::new(&servers::kafka().await.unwrap().bootstrap());
        let topic = cluster.create_topic(&unique("orders"), partitions, &[]).await.unwrap();
        Self { shop, topic, cluster }
    }

    pub(crate) fn pool(&self) -> Pool {
        let manager = Manager::new(self.shop.database.url().parse().unwrap(), NoTls);
        Pool::builder(manager).max_size(4).build().unwrap()
    }

    pub(crate) fn consumer(&self) -> Consumer {
        let hurry = Duration::from_millis(20);
        let inbox = Inbox::new("payments").backoff(hurry, hurry);
        let mut config = self.cluster.config();
        config.set("group.id", self.topic.name()).set("auto.commit.interval.ms", "100");
        Consumer::new(inbox, config, &[self.topic.name()]).retry_every(hurry)
    }

    /// An event for each order from `first` on, each third one published twice.
    pub(crate) async fn publish(&self, first: u32, count: u32) {
        let producer: FutureProducer = self.cluster.config().create().unwrap();
        let mut sent = Vec::new();
        for number in first..first + count {
            let id = Uuid::now_v7().to_string();
            let times = if number % 3 == 0 { 2 } else { 1 };
            for _ in 0..times {
                let headers = OwnedHeaders::new().insert(Header { key: "id", value: Some(&id) });
                // Ten orders of a customer share a key.
                let (key, value) = (format!("customer {}", number / 10), number.to_string());
                let record = FutureRecord::to(self.topic.name());
                let record = record.key(&key).payload(&value).headers(headers);
                sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
            }
        }
        for delivery in sent {
            delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// How many payments there are, and of how many orders.
    pub(crate) async fn paid(&self) -> (i64, i64) {
        let sql = "select count(*), count(distinct order_id) from payments";
        let row = &self.shop.database.query(sql).await.unwrap()[0];
        (row.get(0), row.get(1))
    }

    pub(crate) async fn wait_paid(&self, orders: i64) {
        eventually(&format!("{orders} orders paid"), || async move {
            Ok((self.paid().await.1 >= orders).then_some(()))
        })
        .await
        .unwrap();
    }

    /// Until every offset is committed: nothing will be delivered again.
    pub(crate) async fn wait_committed(&self) {
        eventually("every offset is committed", || async move {
            let (committed, end) = (self.committed().await, self.topic.len().await?);
            Ok((committed == end).then_some(()))
        })
        .await
        .unwrap();
    }

    /// The committed offsets of all partitions together.
    pub(crate) async fn committed(&self) -> i64 {
        use rdkafka::consumer::{BaseConsumer, Consumer as _};
        use rdkafka::{Offset, TopicPartitionList};
        let (mut config, topic) = (self.cluster.config(), self.topic.clone());
        config.set("group.id", topic.name());
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition_range(topic.name(), 0, topic.partitions() - 1);
            let list = consumer.committed_offsets(list, Duration::from_secs(30)).unwrap();
            let elements = list.elements();
            let offsets = elements.iter().filter_map(|one| match one.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
            offsets.sum()
        })
        .await
        .unwrap()
    }
}

/// A consumer at work.
struct Instance {
    task: JoinHandle<Result<(), ConsumerError>>,
    stop: oneshot::Sender<()>,
}

impl Instance {
    /// Fails the first attempts at orders that the `moods` name, as often as they say.
    fn start(orders: &Orders, consumer: Consumer, moods: &Moods) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (pool, moods) = (orders.pool(), moods.clone());
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            consumer.run(&pool, |tx, message| pay_if(moods.clone(), tx, message), shutdown).await
        });
        Self { task, stop }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// How often an order still fails.
type Moods = Arc<Mutex<HashMap<u32, u32>>>;

fn pay_if<'a>(
    moods: Moods,
    tx: &'a mut tokio_postgres::Transaction<'_>,
    message: &'a Message,
) -> outboxd_client::inbox::Handling<'a, (), HandlerError> {
    Box::pin(async move {
        let order = String::from_utf8(message.value.clone().unwrap_or_default())?;
        // The effect is an order's, not a customer's.
        let of_order = Message { key: Some(order.clone().into_bytes()), ..message.clone() };
        pay(tx, &of_order).await?;
        let number: u32 = order.parse()?;
        match moods.lock().unwrap().get_mut(&number) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err("card declined".into())
            }
            _ => Ok(()),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_orders_are_paid_once_while_consumers_come_and_go() {
    let orders = Orders::new(6).await;
    let moods: Moods = Arc::new(Mutex::new((0..1000).step_by(50).map(|n| (n, 2)).collect()));
    orders.publish(0, 400).await;
    let first = Instance::start(&orders, orders.consumer(), &moods);
    orders.wait_paid(100).await;
    let second = Instance::start(&orders, orders.consumer(), &moods);
    orders.publish(400, 300).await;
    orders.wait_paid(450).await;
    let third = Instance::start(&orders, orders.consumer(), &moods);
    // Dropped where it stands, in the middle of its transactions.
    first.task.abort();
    orders.publish(700, 300).await;
    orders.wait_paid(900).await;
    second.stop().await;
    orders.wait_paid(1000).await;
    orders.wait_committed().await;
    third.stop().await;
    assert_eq!(orders.paid().await, (1000, 1000));
    let sql = "select count(*) from inbox.messages where state <> 'COMPLETED'";
    let unfinished: i64 = orders.shop.database.query(sql).await.unwrap()[0].get(0);
    assert_eq!(unfinished, 0);
    // Twice in all; one failure may have died with the first consumer before it was written down.
    let sql = "select count(*) from inbox.messages where attempts between 2 and 3";
    let failed: i64 = orders.shop.database.query(sql).await.unwrap()[0].get(0);
    assert_eq!(failed, 20, "those that failed, and no others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_message_goes_to_its_topic_and_the_next_of_its_key_are_paid() {
    let orders = Orders::new(1).await;
    let dead_letters =
        orders.cluster.create_topic(&format!("{}.dlt", orders.topic.name()), 1, &[]).await.unwrap();
    let moods: Moods = Arc::new(Mutex::new(HashMap::from([(4, u32::MAX)])));
    orders.publish(0, 10).await;
    let instance = Instance::start(&orders, orders.consumer().dead_letter_topics(), &moods);
    orders.wait_paid(9).await;
    let records = dead_letters.read_at_least(1).await.unwrap();
    instance.stop().await;
    assert_eq!(orders.paid().await, (9, 9));
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.value_text(), "4");
    assert_eq!(record.key_text(), "customer 0");
    assert_eq!(record.header("kafka_dlt-exception-message"), Some("card declined"));
    assert_eq!(record.header("kafka_dlt-original-topic"), Some(orders.topic.name()));
    let sql = "select array_agg(order_id::int order by id) from payments";
    let order: Vec<i32> = orders.shop.database.query(sql).await.unwrap()[0].get(0);
    assert_eq!(order, [0, 1, 2, 3, 5, 6, 7, 8, 9], "in the order of their key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_without_an_id_ends_a_consumer_that_has_nowhere_to_put_it() {
    let orders = Orders::new(1).await;
    let producer: FutureProducer = orders.cluster.config().create().unwrap();
    let record = FutureRecord::to(orders.topic.name()).key("a").payload("1");
    producer.send(record, Duration::from_secs(30)).await.unwrap();
    let moods = Moods::default();
    let instance = Instance::start(&orders, orders.consumer(), &moods);
    let ended = instance.task.await.unwrap();
    assert!(matches!(ended, Err(ConsumerError::Unidentified(_))), "{ended:?}");
    assert_eq!(orders.committed().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_waits_for_the_commit_of_the_database() {
    let orders = Orders::new(2).await;
    let producer: FutureProducer = orders.cluster.config().create().unwrap();
    for (partition, order) in [(0, "0"), (1, "1"), (1, "2"), (1, "3")] {
        let id = Uuid::now_v7().to_string();
        let headers = OwnedHeaders::new().insert(Header { key: "id", value: Some(&id) });
        let record = FutureRecord::<str, _>::to(orders.topic.name()).payload(order);
        let record = record.partition(partition).headers(headers);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    let once = "alter table payments add constraint once unique (order_id)";
    orders.shop.database.execute(once).await.unwrap();
    // The payment of order 0 waits for this one.
    let mut held = orders.shop.client().await;
    let tx = held.transaction().await.unwrap();
    tx.execute("insert into payments (order_id) values ('0')", &[]).await.unwrap();
    let instance = Instance::start(&orders, orders.consumer(), &Moods::default());
    eventually("the other partition is committed", || async {
        Ok((orders.committed().await >= 3).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(orders.committed().await, 3, "the offset of order 0 is not");
    tx.rollback().await.unwrap();
    orders.wait_committed().await;
    instance.stop().await;
    assert_eq!(orders.paid().await, (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_waited_for() {
    let orders = Orders::new(2).await;
    orders.publish(0, 50).await;
    let instance = Instance::start(&orders, orders.consumer(), &Moods::default());
    orders.wait_paid(50).await;
    let name = orders.shop.database.name();
    let server = servers::postgres(PgVersion::V17).await.unwrap();
    let beside = connect(&server.url("postgres")).await.unwrap();
    beside.batch_execute(&format!("alter database {name} allow_connections false")).await.unwrap();
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    let ended = beside.query(terminate, &[&name]).await.unwrap();
    assert!(ended.len() > 1, "the consumer had connections");
    orders.publish(50, 50).await;
    beside.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    let client = orders.shop.client().await;
    eventually("all are paid", || async {
        let sql = "select count(distinct order_id) = 100 from payments";
        Ok(client.query_one(sql, &[]).await?.get::<_, bool>(0).then_some(()))
    })
    .await
    .unwrap();
    orders.wait_committed().await;
    instance.stop().await;
    let payments = "select count(*) from payments";
    assert_eq!(client.query_one(payments, &[]).await.unwrap().get::<_, i64>(0), 100);
}
