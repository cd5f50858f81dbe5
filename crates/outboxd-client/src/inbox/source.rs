//! Where the inbox takes a connection from.

use std::future::Future;
use std::ops::DerefMut;

use tokio_postgres::Client;

use super::outcome::InboxError;

/// A client of one's own (`&mut client`), or a pool (`&pool`).
pub trait Source: Send {
    type Held: DerefMut<Target = Client> + Send;

    fn hold(self) -> impl Future<Output = Result<Self::Held, InboxError>> + Send;
}

impl<'c> Source for &'c mut Client {
    type Held = &'c mut Client;

    async fn hold(self) -> Result<Self::Held, InboxError> {
        Ok(self)
    }
}

#[cfg(feature = "deadpool-postgres")]
mod pooled {
    use std::ops::{Deref, DerefMut};

    use deadpool_postgres::{Object, Pool};
    use tokio_postgres::Client;

    use super::{InboxError, Source};

    /// A pool's connection as the client that it is.
    #[derive(Debug)]
    pub struct Pooled(Object);

    impl Deref for Pooled {
        type Target = Client;

        fn deref(&self) -> &Client {
            &self.0
        }
    }

    impl DerefMut for Pooled {
        fn deref_mut(&mut self) -> &mut Client {
            &mut self.0
        }
    }

    impl Source for &Pool {
        type Held = Pooled;

        async fn hold(self) -> Result<Pooled, InboxError> {
            Ok(Pooled(self.get().await?))
        }
    }
}

#[cfg(feature = "deadpool-postgres")]
pub use self::pooled::Pooled;
