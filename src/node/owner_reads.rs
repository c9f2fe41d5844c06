//! Connections that the JavaScript thread reads when few talk.

use napi::bindgen_prelude::Function;
#[cfg(all(unix, feature = "owner-reads"))]
use napi::bindgen_prelude::JsValue;
use napi::{Env, Result};
use napi_derive::napi;

use super::engine::Engine;
#[cfg(all(unix, feature = "owner-reads"))]
use super::uv_poll::Source;

#[napi]
impl Engine {
    /// Has this thread read connections from now on when few talk, if it can. `on_read` is called when there are events
    /// to drain.
    #[napi]
    pub fn offer_reading(&self, env: Env, on_read: Function<'_, (), ()>) -> Result<()> {
        #[cfg(all(unix, feature = "owner-reads"))]
        if self.watching.begin(env.raw(), on_read.raw())? {
            self.queue.offer_reading();
        }
        #[cfg(not(all(unix, feature = "owner-reads")))]
        let _ = (env, on_read);
        Ok(())
    }

    /// Reads a connection that is one of few that talk here, if possible.
    #[napi]
    pub fn watch(&self, env: Env, connection: u32) {
        let Some(connection) = self.tables.connection(connection) else { return };
        #[cfg(all(unix, feature = "owner-reads"))]
        self.watching.watch(env.raw(), Source::Connection(connection));
        #[cfg(not(all(unix, feature = "owner-reads")))]
        {
            let _ = env;
            connection.decline_reading();
        }
    }
}
