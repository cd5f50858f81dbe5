//! Effects outside the database.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outboxd_client::inbox::{HandlerError, Outcome};
use tokio::task::spawn_blocking;

use crate::consumers::Orders;
use crate::shop::{Shop, inbox, order};

const LEASE: Duration = Duration::from_secs(3600);

/// A payment provider that knows requests again by their key.
struct Provider {
    address: SocketAddr,
    charges: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, charges) = (listener.local_addr().unwrap(), Arc::default());
        let provider = Self { address, charges: Arc::clone(&charges) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream, &charges);
            }
        });
        provider
    }

    fn charges(&self) -> usize {
        self.charges.lock().unwrap().len()
    }
}

fn answer(stream: &TcpStream, charges: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let key = head.iter().find_map(|line| line.strip_prefix("Idempotency-Key: ")).unwrap();
    let mut charges = charges.lock().unwrap();
    if !charges.iter().any(|known| known == key) {
        charges.push(key.to_owned());
    }
    let _ = (&*stream).write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
}

async fn charge(address: SocketAddr, key: String) -> Result<(), HandlerError> {
    let request = format!("POST /charges HTTP/1.1\r\nHost: pay\r\nIdempotency-Key: {key}\r\n\r\n");
    let status = spawn_blocking(move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status)?;
        Ok(status)
    });
    let status = status.await??;
    if status.starts_with("HTTP/1.1 201") { Ok(()) } else { Err(status.into()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_is_made_once_though_its_process_dies_before_it_is_written_down() {
    let orders = Orders::new(1).await;
    let (pool, provider, message) = (orders.pool(), Provider::start(), order("a", 1));
    let (address, key) = (provider.address, message.id().unwrap().to_string());
    let (charged, was_charged) = tokio::sync::oneshot::channel();
    let first = {
        let (pool, message, key) = (pool.clone(), message.clone(), key.clone());
        tokio::spawn(async move {
            let inbox = inbox();
            let outcome = inbox.process_leased(
                || &pool,
                &message,
                LEASE,
                || async move {
                    charge(address, key).await?;
                    let _ = charged.send(());
                    std::future::pending::<Result<(), HandlerError>>().await
                },
            );
            outcome.await
        })
    };
    was_charged.await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let inbox = inbox();
    let again = || {
        let key = key.clone();
        inbox.process_leased(|| &pool, &message, LEASE, move || charge(address, key))
    };
    assert_eq!(again().await.unwrap(), Outcome::Busy, "the lease of the dead is not over");
    assert_eq!(orders.shop.row(&message).await, Some(("PROCESSING".to_owned(), 1)));
    orders.shop.let_time_pass().await;
    assert_eq!(again().await.unwrap(), Outcome::Processed(()));
    assert_eq!(orders.shop.row(&message).await, Some(("COMPLETED".to_owned(), 2)));
    assert_eq!(again().await.unwrap(), Outcome::Duplicate);
    assert_eq!(provider.charges(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slower_than_its_lease_does_not_settle_for_the_other() {
    let orders = Orders::new(1).await;
    let (pool, message, inbox) = (orders.pool(), order("a", 1), inbox());
    let (shop, inner) = (&orders.shop, &inbox);
    let (pool, message) = (&pool, &message);
    let slow = inbox.process_leased(
        || pool,
        message,
        LEASE,
        || async move {
            shop.let_time_pass().await;
            let other = inner.process_leased(
                || pool,
                message,
                LEASE,
                || async { Err::<(), HandlerError>("refused".into()) },
            );
            assert!(matches!(other.await.unwrap(), Outcome::Failed { attempt: 2, .. }));
            Ok::<_, HandlerError>(())
        },
    );
    assert_eq!(slow.await.unwrap(), Outcome::Busy);
    assert_eq!(shop.row(message).await, Some(("FAILED".to_owned(), 2)));
}

#[tokio::test]
async fn leases_that_never_end_well_are_given_up() {
    let shop = Shop::new().await;
    let orders_pool = {
        let manager = deadpool_postgres::Manager::new(
            shop.database.url().parse().unwrap(),
            tokio_postgres::NoTls,
        );
        deadpool_postgres::Pool::builder(manager).max_size(1).build().unwrap()
    };
    let (inbox, message) = (inbox().max_attempts(2), order("a", 1));
    for death in 1..=2 {
        let never = inbox.process_leased(
            || &orders_pool,
            &message,
            LEASE,
            std::future::pending::<Result<(), HandlerError>>,
        );
        let began = async {
            outboxd_tests::patience::eventually("leased", || async {
                let row = shop.row(&message).await;
                Ok(row.filter(|row| *row == ("PROCESSING".to_owned(), death)))
            })
            .await
        };
        tokio::select! {
            outcome = never => panic!("{outcome:?}"),
            leased = began => { leased.unwrap(); }
        }
        shop.let_time_pass().await;
    }
    let due = inbox.due(&shop.client().await, 10).await.unwrap();
    assert_eq!(due, std::slice::from_ref(&message), "it is in its row as it came");
    let last = inbox
        .process_leased(|| &orders_pool, &message, LEASE, || async { Ok::<_, HandlerError>(()) })
        .await;
    assert_eq!(last.unwrap(), Outcome::Dead { attempts: 2 });
}
