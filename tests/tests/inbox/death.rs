//! A consumer process that is killed between the commit of its effects and that of its offsets.

use std::process::{Child, Command, Stdio};

use crate::consumers::Orders;

/// A payment service that commits its offsets only every so often.
fn start(orders: &Orders, commit_interval_ms: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payment-service"));
    command.args([
        orders.shop.database.url(),
        orders.cluster.bootstrap(),
        orders.topic.name(),
        commit_interval_ms,
    ]);
    command.stdin(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn a_consumer_killed_between_effect_and_offset_pays_nothing_twice() {
    let orders = Orders::new(3).await;
    orders.publish(0, 1000).await;
    let mut first = start(&orders, "3600000");
    orders.wait_paid(300).await;
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(orders.committed().await, 0, "all that is paid will be delivered again");
    let mut second = start(&orders, "100");
    orders.wait_paid(1000).await;
    orders.wait_committed().await;
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(orders.paid().await, (1000, 1000));
}
