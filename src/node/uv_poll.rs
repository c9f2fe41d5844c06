//! Reads a few connections, and the links of members, on the JavaScript thread, whose event loop watches their sockets
//! like its own.
//!
//! This needs libuv, which Node exports and other runtimes may not. It is looked up when an engine starts.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use napi::{Result, sys};

use super::wake::{call_back, check};
use crate::cluster::owner_links::OwnerLink;
use crate::runtime::{Batch, Connection, FEW};

/// A `uv_handle_t`. libuv tells its size.
type Handle = *mut c_void;

/// `UV_POLL` of `uv_handle_type`, and `UV_READABLE` of `uv_poll_event`: part of libuv's ABI.
const POLL: c_int = 8;
const READABLE: c_int = 1;

/// Bytes of a read of a connection. A longer one is not a single message.
const BUFFER: usize = 16 * 1024;

type HandleSize = unsafe extern "C" fn(c_int) -> usize;
type PollInit = unsafe extern "C" fn(*mut sys::uv_loop_s, Handle, c_int) -> c_int;
type PollStart = unsafe extern "C" fn(Handle, c_int, unsafe extern "C" fn(Handle, c_int, c_int)) -> c_int;
type GetData = unsafe extern "C" fn(Handle) -> *mut c_void;
type SetData = unsafe extern "C" fn(Handle, *mut c_void);
type Unref = unsafe extern "C" fn(Handle);
type Close = unsafe extern "C" fn(Handle, unsafe extern "C" fn(Handle));

struct Uv {
    handle_size: HandleSize,
    poll_init: PollInit,
    poll_start: PollStart,
    get_data: GetData,
    set_data: SetData,
    unref: Unref,
    close: Close,
}

/// libuv, if the runtime has it.
fn uv() -> Option<&'static Uv> {
    static UV: OnceLock<Option<Uv>> = OnceLock::new();
    UV.get_or_init(|| {
        let find = |name: &CStr| {
            // SAFETY: the name is a C string.
            let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            (!symbol.is_null()).then_some(symbol)
        };
        // SAFETY: these are libuv's functions of these names, whose types are the same in all of libuv 1.
        unsafe {
            Some(Uv {
                handle_size: transmute::<*mut c_void, HandleSize>(find(c"uv_handle_size")?),
                poll_init: transmute::<*mut c_void, PollInit>(find(c"uv_poll_init")?),
                poll_start: transmute::<*mut c_void, PollStart>(find(c"uv_poll_start")?),
                get_data: transmute::<*mut c_void, GetData>(find(c"uv_handle_get_data")?),
                set_data: transmute::<*mut c_void, SetData>(find(c"uv_handle_set_data")?),
                unref: transmute::<*mut c_void, Unref>(find(c"uv_unref")?),
                close: transmute::<*mut c_void, Close>(find(c"uv_close")?),
            })
        }
    })
    .as_ref()
}

/// What is read here.
#[derive(Clone)]
pub(super) enum Source {
    Connection(Arc<Connection>),
    Link(Arc<OwnerLink>),
}

impl Source {
    fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Connection(connection) => connection.fd(),
            Self::Link(link) => Some(link.fd()),
        }
    }

    /// Whether it has still to be read here.
    fn is_read_here(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.is_read_by_owner(),
            Self::Link(link) => link.is_left(),
        }
    }

    /// Has an I/O thread read it.
    fn decline(&self) {
        match self {
            Self::Connection(connection) => connection.decline_reading(),
            Self::Link(link) => link.decline(),
        }
    }

    fn is(&self, connection: u32) -> bool {
        matches!(self, Self::Connection(own) if own.handle == connection)
    }
}

/// What an engine's JavaScript thread reads.
#[derive(Default)]
pub(super) struct Watching {
    /// Called after something was read.
    callback: Cell<sys::napi_ref>,
    current: RefCell<Vec<Current>>,
    /// Number of handles that libuv has not closed.
    closing: Cell<u32>,
    /// Where the bytes that come in are unmasked, and what they bring about.
    input: RefCell<(Vec<u8>, Batch)>,
    /// Set when the environment ends, which waits until libuv has closed all handles.
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

struct Current {
    handle: Handle,
    source: Source,
}

/// The data of a handle.
struct Watched {
    env: sys::napi_env,
    watching: Rc<Watching>,
    source: Source,
}

impl Watching {
    /// Begins to read connections here, if there is libuv. `on_read` is called after something was read.
    pub(super) fn begin(self: &Rc<Self>, env: sys::napi_env, on_read: sys::napi_value) -> Result<bool> {
        if uv().is_none() {
            return Ok(false);
        }
        let mut callback = ptr::null_mut();
        let watching = Rc::into_raw(self.clone()).cast_mut().cast();
        // SAFETY: env and the function belong to the running call; the environment hands the reference to `self`
        // to `end`, once.
        unsafe {
            check(sys::napi_create_reference(env, on_read, 1, &mut callback))?;
            check(sys::napi_add_async_cleanup_hook(env, Some(end), watching, ptr::null_mut()))?;
        }
        self.callback.set(callback);
        Ok(true)
    }

    /// Reads this here from now on if that is possible, and otherwise declines to.
    pub(super) fn watch(self: &Rc<Self>, env: sys::napi_env, source: Source) {
        self.unwatch(|current| !current.source.is_read_here());
        if !self.try_watch(env, &source) {
            source.decline();
        }
    }

    fn try_watch(self: &Rc<Self>, env: sys::napi_env, source: &Source) -> bool {
        let (Some(uv), Some(fd)) = (uv(), source.fd()) else { return false };
        if let Source::Connection(connection) = source {
            let current = self.current.borrow();
            if current.iter().any(|current| current.source.is(connection.handle)) {
                return true;
            }
            if current.iter().filter(|current| matches!(current.source, Source::Connection(_))).count() >= FEW {
                return false;
            }
        }
        let watched = Watched { env, watching: self.clone(), source: source.clone() };
        let mut event_loop = ptr::null_mut();
        // SAFETY: on the thread of the event loop. The handle is as large as libuv wants it, and freed only where it
        // has not been made or in `closed`; the source keeps the descriptor open until then.
        unsafe {
            if sys::napi_get_uv_event_loop(env, &mut event_loop) != sys::Status::napi_ok {
                return false;
            }
            let handle = uv.new_handle();
            if (uv.poll_init)(event_loop, handle, fd) != 0 {
                uv.free_handle(handle);
                return false;
            }
            (uv.set_data)(handle, Box::into_raw(Box::new(watched)).cast());
            // sessions keep the process alive, not their readers
            (uv.unref)(handle);
            self.current.borrow_mut().push(Current { handle, source: source.clone() });
            if (uv.poll_start)(handle, READABLE, readable) != 0 {
                self.unwatch(|current| current.handle == handle);
                return false;
            }
        }
        true
    }

    /// Stops watching some sources.
    fn unwatch(&self, which: impl Fn(&Current) -> bool) {
        let Some(uv) = uv() else { return };
        self.current.borrow_mut().retain(|current| {
            let goes = which(current);
            if goes {
                self.closing.set(self.closing.get() + 1);
                // SAFETY: the handle has been made and is not closing, for it is here. libuv calls `closed` later.
                unsafe { (uv.close)(current.handle, closed) };
            }
            !goes
        });
    }

    /// Stops watching a connection that has ended. Its watch does not notice the end if the I/O thread has read it
    /// last, and a peer that keeps its side open must not keep the descriptor.
    pub(super) fn unwatch_ended(&self, connection: u32) {
        self.unwatch(|current| current.source.is(connection));
    }

    /// Lets the environment end, because libuv has closed all handles.
    fn release_hook(&self) {
        let hook = self.hook.get();
        if !hook.is_null() && self.closing.get() == 0 {
            self.hook.set(ptr::null_mut());
            // SAFETY: the environment waits for this call and has made the hook.
            unsafe { sys::napi_remove_async_cleanup_hook(hook) };
        }
    }
}

impl Watched {
    /// Reads once. Returns whether JavaScript has to drain.
    fn read(&self, handle: Handle, is_broken: bool) -> bool {
        let (bytes, batch) = &mut *self.watching.input.borrow_mut();
        let has_read = match &self.source {
            Source::Link(link) if is_broken => {
                // libuv has stopped to watch it, and something may still have come
                link.decline();
                self.watching.unwatch(|current| current.handle == handle);
                return false;
            }
            Source::Link(link) => link.read(batch),
            Source::Connection(connection) => {
                bytes.resize(BUFFER, 0);
                connection.read_by_owner(bytes, batch)
            }
        };
        if !self.source.is_read_here() {
            self.watching.unwatch(|current| current.handle == handle);
        }
        has_read
    }
}

impl Uv {
    /// Memory for a handle, in units that are aligned for anything.
    fn new_handle(&self) -> Handle {
        Box::into_raw(vec![0u128; self.units()].into_boxed_slice()).cast()
    }

    /// # Safety
    /// The handle is of [`Uv::new_handle`], and is not used any more.
    unsafe fn free_handle(&self, handle: Handle) {
        // SAFETY: as the caller promises; the length is the same each time.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(handle.cast::<u128>(), self.units())) });
    }

    fn units(&self) -> usize {
        // SAFETY: takes no pointers.
        unsafe { (self.handle_size)(POLL) }.div_ceil(size_of::<u128>())
    }
}

/// Called when the socket can be read, or is broken.
unsafe extern "C" fn readable(handle: Handle, status: c_int, _events: c_int) {
    let Some(uv) = uv() else { return };
    // SAFETY: the data are those of `watch`, alive until `closed`, which libuv does not call from here.
    let watched = unsafe { &*(uv.get_data)(handle).cast::<Watched>() };
    let has_read = catch_unwind(AssertUnwindSafe(|| watched.read(handle, status < 0))).unwrap_or(true);
    if has_read {
        call_back(watched.env, watched.watching.callback.get());
    }
}

/// Called when libuv has closed a handle.
unsafe extern "C" fn closed(handle: Handle) {
    let Some(uv) = uv() else { return };
    // SAFETY: as in `readable`; called once per handle, after which nothing has it.
    let watched = unsafe {
        let watched = Box::from_raw((uv.get_data)(handle).cast::<Watched>());
        uv.free_handle(handle);
        watched
    };
    let watching = &watched.watching;
    watching.closing.set(watching.closing.get() - 1);
    watching.release_hook();
}

/// Called when the environment ends.
unsafe extern "C" fn end(hook: sys::napi_async_cleanup_hook_handle, watching: *mut c_void) {
    // SAFETY: the reference of `offer_reading`, given once.
    let watching = unsafe { Rc::from_raw(watching.cast_const().cast::<Watching>()) };
    watching.hook.set(hook);
    watching.unwatch(|_| true);
    watching.release_hook();
}
