//! The loop: one task that owns the consumer, the lanes and what is in flight.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout_at};
use tokio_postgres::Transaction;

use super::consumer::{Consumer, ConsumerError};
use super::flight::{Crew, Landing};
use super::lanes::{Lanes, Place, place_of};
use super::rebalance::{Context, Revoked, give_back, list_of};
use crate::inbox::{HandlerError, Handling};
use crate::message::Message;

type Flight<'r> = std::pin::Pin<Box<dyn Future<Output = Option<Landing>> + Send + 'r>>;

/// One run of the loop.
pub(super) struct Turn<'r, H> {
    settings: &'r Consumer,
    consumer: &'r StreamConsumer<Context>,
    crew: &'r Crew<'r, H>,
    lanes: Lanes,
    flights: FuturesUnordered<Flight<'r>>,
    aborts: HashMap<Place, AbortHandle>,
    sweeping: bool,
    next_sweep: Instant,
    next_tidy: Instant,
}

/// What the loop has heard.
enum Heard {
    Revoked(Revoked),
    Shutdown,
    Landed(Landing),
    Time,
    Record(Result<Message, KafkaError>),
}

impl<'r, E, H> Turn<'r, H>
where
    E: Into<HandlerError> + Send + 'r,
    H: for<'a, 't> Fn(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, (), E> + Send + Sync,
{
    pub(super) fn new(
        settings: &'r Consumer,
        consumer: &'r StreamConsumer<Context>,
        crew: &'r Crew<'r, H>,
    ) -> Self {
        let now = Instant::now();
        Self {
            settings,
            consumer,
            crew,
            lanes: Lanes::default(),
            flights: FuturesUnordered::new(),
            aborts: HashMap::new(),
            sweeping: false,
            next_sweep: now,
            next_tidy: now,
        }
    }

    pub(super) async fn go(
        mut self,
        mut revoked: mpsc::Receiver<Revoked>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ConsumerError> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            match self.hear(&mut revoked, &mut shutdown).await {
                Heard::Shutdown => break,
                Heard::Revoked(revoked) => self.handle_revoked(revoked).await?,
                Heard::Landed(landing) => self.handle_landing(landing)?,
                Heard::Record(record) => self.handle_record(record)?,
                Heard::Time => {}
            }
            self.start()?;
        }
        self.lanes.close_all();
        let all = self.aborts.keys().cloned().collect::<Vec<_>>();
        let drained = self.drain(&all).await;
        // From here on whoever asks for partitions gets them at once.
        revoked.close();
        while let Ok(revoked) = revoked.try_recv() {
            give_back(self.consumer, &list_of(&revoked.places))?;
        }
        drained
    }

    /// In this order: what others wait for, what frees, what is due, what is new.
    async fn hear(
        &mut self,
        revoked: &mut mpsc::Receiver<Revoked>,
        shutdown: &mut (impl Future<Output = ()> + Send + Unpin),
    ) -> Heard {
        let wake = self.wake_at();
        tokio::select! {
            biased;
            Some(revoked) = revoked.recv() => Heard::Revoked(revoked),
            () = shutdown => Heard::Shutdown,
            Some(landing) = self.flights.next() => landing.map_or(Heard::Time, Heard::Landed),
            () = sleep_until(wake.into()) => Heard::Time,
            record = self.consumer.recv() => Heard::Record(record.map(|record| Message::from(&record))),
        }
    }

    fn wake_at(&self) -> Instant {
        let sweep = if self.sweeping { Instant::now() + LONG } else { self.next_sweep };
        self.lanes.wake_at(Instant::now()).map_or(sweep, |lane| lane.min(sweep))
    }

    fn handle_record(&mut self, record: Result<Message, KafkaError>) -> Result<(), ConsumerError> {
        match record {
            Ok(message) => self.lanes.push(message),
            Err(error) if is_final(&error) => return Err(error.into()),
            // librdkafka goes on trying.
            Err(error) => tracing::warn!(%error, event = "inbox.kafka", "receive"),
        }
        Ok(())
    }

    fn handle_landing(&mut self, landing: Landing) -> Result<(), ConsumerError> {
        match landing {
            Landing::Through(message) => {
                let place = place_of(&message);
                self.store(&place, message.offset);
                self.aborts.remove(&place);
                self.lanes.through(&place);
            }
            Landing::Again(message) => {
                self.aborts.remove(&place_of(&message));
                self.lanes.again(message, Instant::now());
            }
            Landing::Unidentified(error) => return Err(ConsumerError::Unidentified(error)),
            Landing::Swept => {
                self.sweeping = false;
                self.next_sweep = Instant::now() + self.settings.retry_every;
            }
        }
        Ok(())
    }

    /// Ends what is in flight of these partitions, and lets the rebalance go on.
    async fn handle_revoked(&mut self, revoked: Revoked) -> Result<(), ConsumerError> {
        let Revoked { places, lost } = revoked;
        self.lanes.close(&places);
        let drained = if lost {
            self.abort(&places);
            Ok(())
        } else {
            self.drain(&places).await
        };
        self.lanes.remove(&places);
        give_back(self.consumer, &list_of(&places))?;
        drained
    }

    /// Polls on, so that the group does not take this consumer for dead; what comes is of partitions
    /// that stay.
    async fn drain(&mut self, places: &[Place]) -> Result<(), ConsumerError> {
        let deadline = Instant::now() + self.settings.drain;
        while !self.lanes.is_quiet(places) {
            let heard = timeout_at(deadline.into(), async {
                tokio::select! {
                    biased;
                    Some(landing) = self.flights.next() => landing.map_or(Heard::Time, Heard::Landed),
                    record = self.consumer.recv() => {
                        Heard::Record(record.map(|record| Message::from(&record)))
                    }
                }
            });
            match heard.await {
                Ok(Heard::Landed(landing)) => self.handle_landing(landing)?,
                Ok(Heard::Record(record)) => self.handle_record(record)?,
                Ok(_) => {}
                Err(_) => {
                    tracing::warn!(event = "inbox.drain", "handlers take too long: rolled back");
                    self.abort(places);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Drops transactions that are under way: they are rolled back.
    fn abort(&mut self, places: &[Place]) {
        for abort in places.iter().filter_map(|place| self.aborts.remove(place)) {
            abort.abort();
        }
    }

    fn start(&mut self) -> Result<(), ConsumerError> {
        let now = Instant::now();
        for message in self.lanes.start(now) {
            let (abort, registration) = AbortHandle::new_pair();
            self.aborts.insert(place_of(&message), abort);
            let flight = Abortable::new(self.crew.fly(message), registration);
            self.flights.push(Box::pin(async move { flight.await.ok() }));
        }
        if !self.sweeping && self.next_sweep <= now {
            self.sweeping = true;
            let tidy = self.next_tidy <= now;
            if tidy {
                self.next_tidy = now + TIDY_EVERY;
            }
            let crew = self.crew;
            self.flights.push(Box::pin(async move {
                Some(if tidy { crew.tidy().await } else { crew.sweep().await })
            }));
        }
        let flow = self.lanes.flow();
        if !flow.pause.is_empty() {
            self.consumer.pause(&list_of(&flow.pause))?;
        }
        if !flow.resume.is_empty() {
            self.consumer.resume(&list_of(&flow.resume))?;
        }
        Ok(())
    }

    /// Lets an offset be committed. Not possible for a partition that is lost: then it is not ours.
    fn store(&self, (topic, partition): &Place, offset: i64) {
        let mut list = TopicPartitionList::new();
        let stored = list
            .add_partition_offset(topic, *partition, Offset::Offset(offset + 1))
            .and_then(|()| self.consumer.store_offsets(&list));
        if let Err(error) = stored {
            tracing::warn!(%error, topic, partition, event = "inbox.offset", "store an offset");
        }
    }
}

fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let codes = [
        Code::Fatal,
        Code::TopicAuthorizationFailed,
        Code::GroupAuthorizationFailed,
        Code::Authentication,
        Code::SaslAuthenticationFailed,
        Code::UnsupportedSASLMechanism,
    ];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);
/// Nothing waits for that.
const LONG: Duration = Duration::from_secs(60);
