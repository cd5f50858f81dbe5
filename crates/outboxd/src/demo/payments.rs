//! The payment services, watched: one of them is going to die.

use tokio::sync::watch;

use super::process::Process;
use super::service::Part;
use super::story::Story;

pub(super) struct Payments<'a> {
    services: [Service; 3],
    part: Part,
    story: &'a Story,
    /// How often one has died as planned.
    crashes: watch::Sender<u64>,
}

struct Service {
    process: Process,
    /// It dies when it has paid the order that was chosen for it.
    is_to_die: bool,
}

impl<'a> Payments<'a> {
    pub(super) async fn start(part: Part, story: &'a Story) -> anyhow::Result<Self> {
        let start = || Service::start(&part);
        let services: [Service; 3] = tokio::try_join!(start(), start(), start())?.into();
        let [one, two, three] = services.each_ref().map(|service| service.process.pid());
        let processes = format!("processes {one}, {two} and {three}");
        story.tell(&format!("three payment services share the work ({processes})"));
        Ok(Self { services, part, story, crashes: watch::Sender::new(0) })
    }

    pub(super) fn crashes(&self) -> watch::Receiver<u64> {
        self.crashes.subscribe()
    }

    /// Starts one again that has died as planned. Ends with what was not planned.
    pub(super) async fn watch(&mut self) -> anyhow::Error {
        loop {
            let [one, two, three] = &mut self.services;
            let (status, service) = tokio::select! {
                status = one.process.status() => (status, one),
                status = two.process.status() => (status, two),
                status = three.process.status() => (status, three),
            };
            match status {
                Ok(KILLED) if service.is_to_die => {}
                Ok(_) => return service.process.ended().into(),
                Err(error) => return error,
            }
            self.part.crash_after = None;
            let died = service.process.pid();
            match Service::start(&self.part).await {
                Ok(started) => *service = started,
                Err(error) => return error,
            }
            self.story.tell(&format!(
                "payment service {died} died after a payment that Kafka does not know of; process \
                 {} takes its place",
                service.process.pid()
            ));
            self.crashes.send_modify(|crashes| *crashes += 1);
        }
    }
}

impl Service {
    async fn start(part: &Part) -> anyhow::Result<Self> {
        let variables = part.variables()?;
        let process =
            Process::start("a payment service", &["demo-service", "payments"], &variables).await?;
        Ok(Self { process, is_to_die: part.crash_after.is_some() })
    }
}

/// 128 and the number of SIGKILL, as a shell says it.
const KILLED: i32 = 128 + 9;
