//! The loop of zoneadmd: whoever connects asks, one request is carried out at a time, and what happens by itself is told
//! to all who are connected.

use crate::halt::halt;
use crate::ready::{Location, ready};
use crate::steps::{Steps, micros};
use crate::supervisor::Supervisor;
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::{Channel, Message};
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::platform::controls;
use reeve_kernel::sys;
use reeve_kernel::wire::{Event, HaltOrder, InitSpec, Reply, Request, Snapshot, StepName, Traces};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long nothing is asked, and nothing ends, before what nobody waits for is done. What the zone prints does not count: it could
/// keep it from ever being done.
const QUIET: Duration = Duration::from_millis(5);

struct Client {
    number: u64,
    channel: Rc<Channel>,
}

struct Server {
    zone: Option<Supervisor>,
    listener: Option<Channel>,
    clients: Vec<Client>,
    last_client: u64,
    /// Set when the zone is halted: nothing is left to serve.
    over: bool,
    /// When it will have been quiet for long enough; none when there is nothing left to do then.
    rest_at: Option<Instant>,
}

/// Serves until the zone is halted, or until the controller goes away before there was a zone.
pub fn serve(controller: Channel) -> Result<()> {
    let clients = vec![Client { number: 0, channel: Rc::new(controller) }];
    let mut server = Server { zone: None, listener: None, clients, last_client: 0, over: false, rest_at: None };
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
        let worked = woken.zsched || woken.connection || !woken.clients.is_empty();
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
            self.clients.push(Client { number: self.last_client, channel: Rc::new(channel) });
        }
        self.tell_what_happened();
        if worked {
            self.rest_at = Some(Instant::now() + QUIET);
        }
        let rests = self.rest_at.take_if(|at| *at <= Instant::now()).is_some();
        if let Some(zone) = &mut self.zone {
            if rests {
                zone.clear_spent();
            }
            // Beside a running init, whoever was answered just now may still be at work.
            if rests || worked && zone.environment.is_none() {
                zone.prepare_next();
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<Woken> {
        let mut polled = Vec::with_capacity(self.clients.len() + 3);
        polled.extend(self.clients.iter().map(|client| PollFd::new(&*client.channel, PollFlags::IN)));
        let fixed = polled.len();
        let zsched = self.zone.as_ref().and_then(|zone| zone.zsched.as_ref());
        let console = self.zone.as_ref().and_then(|zone| zone.console.as_ref());
        polled.extend(self.listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        polled.extend(zsched.map(|zsched| PollFd::new(&zsched.channel, PollFlags::IN)));
        polled.extend(console.map(|console| PollFd::new(console, PollFlags::IN)));
        let left = self.rest_at.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Woken::default()),
            polled => drop(polled.at("poll", "zoneadmd")?),
        }
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
        let mut steps = Steps::of(&client.channel);
        if let Some(zone) = &mut self.zone {
            zone.teller = Some(steps.teller());
        }
        let done = Request::from_bytes(&message.bytes)
            .map_err(|malformed| Error::new("receive", "request", malformed.to_string()))
            .and_then(|request| self.act(client, request, &message, &mut steps));
        if let Some(zone) = &mut self.zone {
            zone.teller = None;
        }
        let reply = match done {
            Ok(None) => return true,
            // In one message: who is woken by the first of two is in the way of the second.
            Ok(Some(snapshot)) => Reply::Done(snapshot, steps.teller().take()),
            Err(error) => {
                steps.teller().tell();
                failed(steps.current, &error)
            }
        };
        client.channel.send(&reply.to_bytes(), &[]).is_ok()
    }

    fn act(
        &mut self,
        client: &Client,
        request: Request,
        message: &Message,
        steps: &mut Steps,
    ) -> Result<Option<Snapshot>> {
        match request {
            Request::Ready(spec) => {
                self.refuse_second_zone()?;
                let Location(adoption) = Location::from(&spec);
                let mut zone = Supervisor::new(adoption);
                zone.teller = Some(steps.teller());
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
            Request::Restart(signal, timeout, init) => self.restart(signal, timeout, &init, steps)?,
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
            Request::Status => {}
            Request::Become(name) => {
                self.refuse_second_zone()?;
                // One that cannot is of no use, and must not do what is asked next.
                become_zoneadmd(&name, &message.fds).inspect_err(|_| self.over = true)?;
                return Ok(None);
            }
        }
        Ok(Some(self.zone()?.snapshot()))
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
    fn stop(&mut self, signal: i32, timeout: u32, steps: &mut Steps) -> Result<()> {
        let zone = self.zone()?;
        let told = zone.untold.len();
        steps.run(StepName::StopInit, || zone.stop(signal, Duration::from_millis(timeout.into())))?;
        zone.untold.truncate(told);
        Ok(())
    }

    /// The same, and then a boot.
    fn restart(&mut self, signal: i32, timeout: u32, init: &InitSpec, steps: &mut Steps) -> Result<()> {
        let zone = self.zone()?;
        let (told, begun) = (zone.untold.len(), Instant::now());
        steps.current = StepName::StopInit;
        let stopped = zone.stop_for(init, signal, Duration::from_millis(timeout.into()))?;
        zone.untold.truncate(told);
        steps.done(StepName::StopInit, stopped);
        steps.current = StepName::Init;
        if zone.environment.is_none() {
            zone.boot(init)?;
        }
        steps.done(StepName::Init, micros(begun).saturating_sub(stopped));
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

/// Takes on the name of the zone's zoneadmd, and its log.
fn become_zoneadmd(zone: &str, fds: &[OwnedFd]) -> Result<()> {
    let [log] = fds else { return Err(Error::new("become", zone, "needs the descriptor of a log")) };
    for number in [1, 2] {
        sys::dup_onto(log.as_fd(), number).at("dup3", number.to_string())?;
    }
    sys::set_title(&["zoneadmd", zone]);
    sys::set_name(&format!("zoneadmd {zone}"));
    Ok(())
}

fn failed(step: StepName, error: &Error) -> Reply {
    let errno = error.errno().map_or(0, |errno| errno.raw_os_error());
    Reply::Failed(step, error.call().to_owned(), error.args().to_owned(), errno, error.reason())
}
