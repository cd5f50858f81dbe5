//! The slot of a repair: dropped where it is of no use, created, and found unmoved at the end.

use outboxd_core::lsn::Lsn;
use outboxd_core::repair::SlotAction;
use outboxd_core::stop::{Code, Stop};

use super::publish::AGAIN;
use crate::catalog::capacity::Capacity;
use crate::catalog::slot;
use crate::link_failure::LinkFailure;
use crate::open::{Opener, logging_open_transactions};
use crate::source::session::{ExportedSlot, ReplicationSession};

/// Where the stream will begin, and the snapshot of that moment.
pub(super) async fn provide(
    opener: &Opener,
    session: &mut ReplicationSession,
    action: SlotAction,
) -> Result<(Lsn, Option<String>), Stop> {
    let name = &opener.source.slot;
    match action {
        // The rows of any moment since will do: what is younger comes again.
        SlotAction::Keep(position) => return Ok((position, None)),
        SlotAction::Replace => {
            let dropped = session.drop_slot(name).await;
            dropped.map_err(LinkFailure::from)?;
            tracing::info!(event = "repair.slot_dropped", slot = name, "slot dropped");
        }
        SlotAction::Create => {
            let control = opener.control().await?;
            Capacity::read(&control).await?.check_free_slot()?;
        }
    }
    let ExportedSlot { consistent_point, snapshot } = create(opener, session).await?;
    tracing::info!(
        event = "repair.slot_created",
        slot = name,
        lsn = %consistent_point,
        "slot created: publishing what was committed before it"
    );
    Ok((consistent_point, Some(snapshot)))
}

async fn create(opener: &Opener, session: &mut ReplicationSession) -> Result<ExportedSlot, Stop> {
    let control = opener.control().await?;
    let source = &opener.source;
    let failover = source.failover.unwrap_or(true);
    let creation = session.create_exporting_slot(&source.slot, failover);
    let created = logging_open_transactions(&control, creation).await;
    Ok(created.map_err(LinkFailure::from)?)
}

/// A relay is kept out by the lock; anybody else may still have used the slot.
pub(super) async fn check_unmoved(opener: &Opener, position: Lsn) -> Result<(), Stop> {
    let control = opener.control().await?;
    let found = slot::read(&control, &opener.source.slot).await?;
    let confirmed = found.as_ref().and_then(|slot| slot.confirmed);
    if confirmed == Some(position) {
        return Ok(());
    }
    let name = &opener.source.slot;
    let found = confirmed.map_or_else(|| "it is gone".to_owned(), |at| format!("it is at {at}"));
    Err(Stop::new(Code::SlotMoved, format!("slot \"{name}\" was changed during its repair"))
        .detail(format!("it was at {position}, now {found}"))
        .hint(format!("find out who uses it; {}", AGAIN)))
}
