//! The plot: orders come in and are paid, while everything that stands between them is killed,
//! stopped, repeated and refused. Then what was ordered is compared with what was paid.

use outboxd_core::stop::{Code, Stop};

use super::director::{Director, Watched};
use super::evidence::Evidence;
use super::payments::Payments;
use super::plan::Plan;
use super::reader::Reader;
use super::service::{Part, Style};
use super::stage::Stage;
use super::table::grouped;
use super::verdict::{Verdict, judge};
use super::{Options, Story};

pub(super) async fn play(
    stage: &mut Stage,
    options: &Options,
    story: &Story,
) -> anyhow::Result<Verdict> {
    let plan = Plan::new(options.seed, options.orders);
    let names = stage.names.clone();
    let (databases, broker) = stage.set(options, &plan, story).await?;
    let part = Part {
        names: names.clone(),
        style: options.style,
        seed: options.seed,
        orders: options.orders,
        url: databases.payments_url.clone(),
        bootstrap: broker.bootstrap(),
        crash_after: Some(plan.crash),
    };
    let reader = Reader::start(&part.bootstrap, &names)?;
    let mut payments = Payments::start(part.clone(), story).await?;
    let part = Part { url: databases.orders_url.clone(), crash_after: None, ..part };
    let watched = Watched { seen: reader.seen(), crashes: payments.crashes() };
    let mut director = Director::begin(part, &plan, databases, broker, watched, story).await?;
    tokio::select! {
        biased;
        ended = perform(&mut director, &plan, options.style) => ended?,
        error = payments.watch() => return Err(error),
    }
    let chaos = director.end().await?;
    drop(payments);
    let records = reader.finish().await?;
    story.tell(&format!("all {} records are read back", grouped(records.len() as u64)));
    let evidence = Evidence::gather(databases, records).await?;
    Ok(judge(options, &names, &plan, &evidence, chaos))
}

async fn perform(director: &mut Director<'_>, plan: &Plan, style: Style) -> anyhow::Result<()> {
    let kill_from = plan.kill_from();
    let is_on_its_way = director.until(|seen| seen.orders.iter().any(|it| *it >= kill_from));
    if !is_on_its_way.await? {
        return Err(Stop::new(Code::Internal, "nothing is published any more").into());
    }
    match style {
        Style::Outbox => director.kill_relay().await?,
        Style::Naive => director.kill_order_service().await?,
    }
    director.deliver_again().await?;
    if style == Style::Outbox {
        director.see_the_gift_parked().await?;
    }
    director.see_a_payment_service_die().await?;
    let was_away = director.stop_broker_for_a_while().await?;
    if was_away && style == Style::Outbox {
        director.kill_relay_while_it_catches_up().await?;
    }
    director.mend_the_topic_of_the_gifts().await?;
    if style == Style::Outbox {
        director.retry_the_gift().await?;
    }
    director.see_all_orders_placed().await?;
    if style == Style::Outbox {
        director.see_all_published().await?;
    }
    director.deliver_again().await?;
    director.see_all_consumed().await
}
