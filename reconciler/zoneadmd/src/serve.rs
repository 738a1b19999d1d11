//! The loop of zoneadmd: whoever connects asks, one request is carried out at a time, and what happens by itself is told
//! to all who are connected.

use crate::halt::halt;
use crate::ready::{Location, ready};
use crate::supervisor::Supervisor;
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::{Channel, Message};
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::platform::controls;
use reeve_kernel::sys;
use reeve_kernel::wire::{Event, HaltOrder, Reply, Request, StepName, Traces};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::AsFd;
use std::time::{Duration, Instant};

/// Tells the asker of each sub-step as it is done, and remembers the one under way.
pub struct Steps<'a> {
    asker: &'a Channel,
    current: StepName,
    /// The first step that failed while others were gone on with.
    failed: Option<(StepName, Error)>,
}

impl Steps<'_> {
    /// Does one sub-step.
    pub fn run<T>(&mut self, step: StepName, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.current = step.clone();
        let started = Instant::now();
        let value = body()?;
        let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        // An asker that went away does not stop the zone half-way.
        let _ = self.asker.send(&Reply::Step(step, micros).to_bytes(), &[]);
        Ok(value)
    }

    /// Does one sub-step; where it fails, others may follow that are safe without it. False when it failed.
    pub fn attempt(&mut self, step: StepName, body: impl FnOnce() -> Result<()>) -> bool {
        match self.run(step.clone(), body) {
            Ok(()) => true,
            Err(error) => {
                self.failed.get_or_insert((step, error));
                false
            }
        }
    }

    /// Ends here if a step failed so far: the first one is the one that is told.
    pub fn check(&mut self) -> Result<()> {
        let Some((step, error)) = self.failed.take() else { return Ok(()) };
        self.current = step;
        Err(error)
    }

    /// Tells the asker of mounts that were detached by force.
    pub fn detached(&self, mounts: Vec<String>) {
        if !mounts.is_empty() {
            let _ = self.asker.send(&Reply::Detached(mounts).to_bytes(), &[]);
        }
    }
}

struct Client {
    number: u64,
    channel: Channel,
}

struct Server {
    zone: Option<Supervisor>,
    listener: Option<Channel>,
    clients: Vec<Client>,
    last_client: u64,
    /// Set when the zone is halted: nothing is left to serve.
    over: bool,
}

/// Serves until the zone is halted, or until the controller goes away before there was a zone.
pub fn serve(controller: Channel) -> Result<()> {
    let clients = vec![Client { number: 0, channel: controller }];
    let mut server = Server { zone: None, listener: None, clients, last_client: 0, over: false };
    while !server.over && (server.zone.is_some() || !server.clients.is_empty()) {
        server.turn()?;
        // After a halt that failed at its very end nothing may be left that somebody would come back for.
        server.over |= server.clients.is_empty() && server.zone.as_ref().is_some_and(Supervisor::is_gone);
    }
    Ok(())
}

/// What woke the loop.
#[derive(Default)]
struct Woken {
    connection: bool,
    zsched: bool,
    console: bool,
    clients: Vec<u64>,
}

impl Server {
    fn turn(&mut self) -> Result<()> {
        let woken = self.wait()?;
        if woken.console
            && let Some(zone) = &mut self.zone
            && let Some(console) = &mut zone.console
            && !console.drain()?
        {
            zone.console = None;
        }
        if woken.zsched {
            self.hear_zsched();
        }
        for number in woken.clients {
            self.serve_client(number);
        }
        if woken.connection
            && let Some(Ok(channel)) = self.listener.as_ref().map(Channel::accept)
        {
            self.last_client += 1;
            self.clients.push(Client { number: self.last_client, channel });
        }
        self.tell_what_happened();
        if let Some(zone) = &mut self.zone {
            zone.clear_spent();
            zone.prepare_next();
        }
        Ok(())
    }

    fn wait(&self) -> Result<Woken> {
        let mut polled = Vec::with_capacity(self.clients.len() + 3);
        polled.extend(self.clients.iter().map(|client| PollFd::new(&client.channel, PollFlags::IN)));
        let fixed = polled.len();
        let zsched = self.zone.as_ref().and_then(|zone| zone.zsched.as_ref());
        let console = self.zone.as_ref().and_then(|zone| zone.console.as_ref());
        polled.extend(self.listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        polled.extend(zsched.map(|zsched| PollFd::new(&zsched.channel, PollFlags::IN)));
        polled.extend(console.map(|console| PollFd::new(console, PollFlags::IN)));
        match rustix::event::poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => return Ok(Woken::default()),
            polled => polled.at("poll", "zoneadmd")?,
        };
        let woke = |index: usize| polled.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let at_listener = fixed;
        let at_zsched = at_listener + usize::from(self.listener.is_some());
        let at_console = at_zsched + usize::from(zsched.is_some());
        let clients = self.clients.iter().enumerate().filter(|(index, _)| woke(*index));
        Ok(Woken {
            connection: self.listener.is_some() && woke(at_listener),
            zsched: zsched.is_some() && woke(at_zsched),
            console: console.is_some() && woke(at_console),
            clients: clients.map(|(_, client)| client.number).collect(),
        })
    }

    fn hear_zsched(&mut self) {
        let Some(zone) = &mut self.zone else { return };
        let message = zone.zsched.as_ref().and_then(|zsched| zsched.channel.receive().ok()).flatten();
        if !zone.hear(message) {
            match zone.lost_zsched() {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => eprintln!("zoneadmd: zsched closed its channel and lives: {error}"),
            }
            zone.environment = None;
            zone.console = None;
            self.tell_all(&Event::ZschedGone);
        }
    }

    fn tell_all(&mut self, event: &Event) {
        let bytes = Reply::Happened(event.clone()).to_bytes();
        for client in &self.clients {
            let _ = client.channel.send(&bytes, &[]);
        }
    }

    fn tell_what_happened(&mut self) {
        let Some(zone) = &mut self.zone else { return };
        let ends = std::mem::take(&mut zone.untold);
        let logins = zone.logins.take_ended();
        for (number, end) in ends {
            self.tell_all(&Event::InitEnded(number, end));
        }
        for (client, number, end) in logins {
            if let Some(client) = self.clients.iter().find(|known| known.number == client) {
                let _ = client.channel.send(&Reply::LoginEnded(number, end).to_bytes(), &[]);
            }
        }
    }

    fn serve_client(&mut self, number: u64) {
        let Some(index) = self.clients.iter().position(|client| client.number == number) else { return };
        // Taken out while it is served, so that the zone can be worked on; put back unless it closed.
        let client = self.clients.swap_remove(index);
        let message = client.channel.receive().ok().flatten();
        if message.is_some_and(|message| self.carry_out(&client, message)) {
            self.clients.push(client);
        } else if let Some(zone) = &mut self.zone {
            zone.logins.client_gone(number);
        }
    }

    /// False when the answer could not be sent: who waits for it has to hear that the connection is closed.
    fn carry_out(&mut self, client: &Client, message: Message) -> bool {
        let mut steps = Steps { asker: &client.channel, current: StepName::Zoneadmd, failed: None };
        let done = Request::from_bytes(&message.bytes)
            .map_err(|malformed| Error::new("receive", "request", malformed.to_string()))
            .and_then(|request| self.act(client, request, &message, &mut steps));
        let reply = match done {
            Ok(None) => return true,
            Ok(Some(reply)) => reply,
            Err(error) => {
                let errno = error.errno().map_or(0, |errno| errno.raw_os_error());
                let (call, args) = (error.call().to_owned(), error.args().to_owned());
                Reply::Failed(steps.current, call, args, errno, error.reason())
            }
        };
        client.channel.send(&reply.to_bytes(), &[]).is_ok()
    }

    fn act(
        &mut self,
        client: &Client,
        request: Request,
        message: &Message,
        steps: &mut Steps<'_>,
    ) -> Result<Option<Reply>> {
        match request {
            Request::Ready(spec) => {
                self.refuse_second_zone()?;
                let Location(adoption) = Location::from(&spec);
                let mut zone = Supervisor::new(adoption);
                if let Err(error) = ready(&mut zone, &spec, steps) {
                    // A failed ready leaves Installed: what was made is taken down again, and the first error is told.
                    let step = steps.current.clone();
                    let traces = Traces::none(spec.mark());
                    let now = HaltOrder { signal: libc::SIGKILL, timeout: 0, detach: false, traces };
                    let halted = halt(&mut zone, &now, steps);
                    steps.current = step;
                    self.over = halted.is_ok();
                    self.zone = Some(zone);
                    return Err(error);
                }
                self.begin(zone)?;
            }
            Request::Adopt(adoption) => {
                self.refuse_second_zone()?;
                let zone = Supervisor::adopt(adoption)?;
                self.begin(zone)?;
            }
            Request::Boot(init) => {
                steps.run(StepName::Init, || self.zone()?.boot(&init))?;
            }
            Request::Stop(signal, timeout) => self.stop(signal, timeout, steps)?,
            Request::Restart(signal, timeout, init) => {
                self.stop(signal, timeout, steps)?;
                steps.run(StepName::Init, || self.zone()?.boot(&init))?;
            }
            Request::Halt(order) => {
                halt(self.zone()?, &order, steps)?;
                self.over = true;
            }
            Request::SetControls(controls) => {
                let cgroup = Cgroup::open(&self.zone()?.cgroup)?;
                steps.run(StepName::ResourceControls, || controls::apply(&cgroup, &controls))?;
            }
            Request::Login(login) => {
                let (number, master) = self.zone()?.log_in(client.number, &login, &message.fds)?;
                let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
                client.channel.send(&Reply::LoggedIn(number).to_bytes(), &fds)?;
                return Ok(None);
            }
            Request::Prepare => {
                if let Some(zone) = &self.zone {
                    zone.announce_boot();
                }
                return Ok(None);
            }
            Request::Status => {}
        }
        let snapshot = self.zone()?.snapshot();
        Ok(Some(Reply::Done(snapshot)))
    }

    fn refuse_second_zone(&self) -> Result<()> {
        match &self.zone {
            Some(zone) => Err(Error::new("ready", &zone.adoption.zone, "this zoneadmd has a zone already")),
            None => Ok(()),
        }
    }

    fn zone(&mut self) -> Result<&mut Supervisor> {
        self.zone.as_mut().ok_or_else(|| Error::new("request", "", "this zoneadmd has no zone yet"))
    }

    /// A stop that was asked for is answered with Done; its end of init is not told as something that happened.
    fn stop(&mut self, signal: i32, timeout: u32, steps: &mut Steps<'_>) -> Result<()> {
        let zone = self.zone()?;
        let told = zone.untold.len();
        steps.run(StepName::StopInit, || zone.stop(signal, Duration::from_millis(timeout.into())))?;
        zone.untold.truncate(told);
        Ok(())
    }

    fn begin(&mut self, zone: Supervisor) -> Result<()> {
        let listener = Channel::bind(zone.run_folder(), "zoneadmd.sock")?;
        listener.listen()?;
        self.listener = Some(listener);
        self.zone = Some(zone);
        sys::trim_memory();
        Ok(())
    }
}
