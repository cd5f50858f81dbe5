//! One transaction of the shop, and the events that were inserted in it.

use outboxd_core::stop::Stop;
use outboxd_relay::control::{ControlError, ControlSession, Parameter};
use tokio_postgres::types::Type;

use super::Order;
use crate::demo::event::{Event, Kind};
use crate::demo::names::Names;

/// Where a writer works: one transaction at a time.
pub(super) struct Desk {
    pub(super) session: ControlSession,
    pub(super) names: Names,
}

pub(super) struct Transaction<'a> {
    session: &'a ControlSession,
    names: &'a Names,
    events: Vec<Event>,
    /// How many events there were at the savepoint.
    kept: usize,
}

impl Desk {
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Stop> {
        self.session.execute("begin").await?;
        Ok(Transaction { session: &self.session, names: &self.names, events: Vec::new(), kept: 0 })
    }
}

impl Transaction<'_> {
    pub(super) async fn insert_order(&self, order: &Order) -> Result<(), Stop> {
        let sql = format!(
            "insert into {} (id, customer, cents, state, version) values ($1, $2, $3, 'new', 0)",
            self.names.table("orders")
        );
        let Order { number, customer, cents } = order;
        let parameters: [Parameter<'_>; 3] =
            [(number, Type::INT8), (customer, Type::TEXT), (cents, Type::INT8)];
        self.session.rows(&sql, &parameters).await?;
        Ok(())
    }

    /// The order changes its state, and an event tells so.
    pub(super) async fn order_event(
        &mut self,
        order: &Order,
        state: &str,
        event_type: &str,
    ) -> Result<(), Stop> {
        let sql = format!(
            "update {} set state = $2, version = version + 1 where id = $1 returning version",
            self.names.table("orders")
        );
        let Order { number, cents, .. } = order;
        let version = self.version(&sql, &[(number, Type::INT8), (&state, Type::TEXT)]).await?;
        let payload = format!(
            r#"{{"order": {number}, "state": "{state}", "cents": {cents}, "version": {version}}}"#
        );
        self.emit(Kind::Order, &format!("order-{number}"), event_type, version, &payload).await
    }

    /// The customer pays, and an event tells so.
    pub(super) async fn payment_event(
        &mut self,
        order: &Order,
        event_type: &str,
    ) -> Result<(), Stop> {
        let sql = format!(
            "update {} set cents = cents + $2, version = version + 1 where id = $1 returning version",
            self.names.table("accounts")
        );
        let Order { number, customer, cents } = order;
        let version = self.version(&sql, &[(customer, Type::TEXT), (cents, Type::INT8)]).await?;
        let payload = format!(r#"{{"order": {number}, "cents": {cents}, "version": {version}}}"#);
        self.emit(Kind::Payment, customer, event_type, version, &payload).await
    }

    pub(super) async fn savepoint(&mut self) -> Result<(), Stop> {
        self.kept = self.events.len();
        Ok(self.session.execute("savepoint before").await?)
    }

    /// The events that are taken back.
    pub(super) async fn rollback_to_savepoint(&mut self) -> Result<Vec<Event>, Stop> {
        self.session.execute("rollback to savepoint before").await?;
        Ok(self.events.split_off(self.kept))
    }

    /// The events that are committed.
    pub(super) async fn commit(self) -> Result<Vec<Event>, Stop> {
        self.session.execute("commit").await?;
        Ok(self.events)
    }

    /// The events that are taken back.
    pub(super) async fn rollback(self) -> Result<Vec<Event>, Stop> {
        self.session.execute("rollback").await?;
        Ok(self.events)
    }

    async fn version(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<i64, Stop> {
        let row = self.session.row(sql, parameters).await?;
        Ok(row.try_get(0).map_err(ControlError::from)?)
    }

    async fn emit(
        &mut self,
        kind: Kind,
        key: &str,
        event_type: &str,
        version: i64,
        payload: &str,
    ) -> Result<(), Stop> {
        let sql = format!(
            "insert into {} (aggregatetype, aggregateid, type, payload) \
             values ($1, $2, $3, $4::jsonb) returning id::text, payload::text",
            self.names.table("outbox")
        );
        let name = kind.name();
        let texts = [&name, &key, &event_type, &payload];
        let parameters = texts.map(|text| (text as _, Type::TEXT));
        let row = self.session.row(&sql, &parameters).await?;
        let id = row.try_get(0).map_err(ControlError::from)?;
        let payload = row.try_get(1).map_err(ControlError::from)?;
        self.events.push(Event { id, kind, key: key.to_owned(), version, payload });
        Ok(())
    }
}
