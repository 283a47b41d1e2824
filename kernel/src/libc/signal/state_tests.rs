use super::super::action::Action;
use super::*;
use linux_raw_sys::general as raw;

const HANDLER: u64 = 0x40_0000;

fn handled(process: &mut ProcessState, signal: Signal, flags: u32, mask: SignalSet) {
    process.actions.set(
        signal,
        Action::from_words([HANDLER, u64::from(flags), 0, mask.bits()]),
    );
}

fn info(signal: Signal) -> SignalInfo {
    SignalInfo::from_user(signal, 1)
}

fn call(step: Step) -> Delivery {
    match step {
        Step::Call(delivery) => delivery,
        Step::GoOn => panic!("nothing to do"),
        Step::End(signal, ..) => panic!("{signal:?} ends the process"),
    }
}

fn setup() -> (ProcessState, ThreadState) {
    (ProcessState::new(), ThreadState::new(SignalSet::EMPTY))
}

#[test]
fn a_handler_runs_with_its_mask_and_the_old_one_comes_back() {
    let (mut process, mut thread) = setup();
    thread.mask = SignalSet::of(&[Signal::SIGHUP]);
    handled(
        &mut process,
        Signal::SIGINT,
        0,
        SignalSet::of(&[Signal::SIGUSR1]),
    );
    assert_eq!(
        process.send_to_thread(&mut thread, Signal::SIGINT, info(Signal::SIGINT)),
        Ok(true)
    );
    let delivery = call(process.next_step(&mut thread));
    assert_eq!(delivery.signal, Signal::SIGINT);
    assert_eq!(
        thread.mask,
        SignalSet::of(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR1])
    );
    assert_eq!(delivery.restore, SignalSet::of(&[Signal::SIGHUP]));
    assert!(matches!(process.next_step(&mut thread), Step::GoOn));
}

#[test]
fn a_blocked_signal_waits() {
    let (mut process, mut thread) = setup();
    thread.set_mask(SignalSet::from_bits(!0));
    assert!(!thread.mask.contains(Signal::SIGKILL));
    handled(&mut process, Signal::SIGINT, 0, SignalSet::EMPTY);
    assert_eq!(
        process.send_to_thread(&mut thread, Signal::SIGINT, info(Signal::SIGINT)),
        Ok(false)
    );
    assert!(matches!(process.next_step(&mut thread), Step::GoOn));
    thread.set_mask(SignalSet::EMPTY);
    assert_eq!(call(process.next_step(&mut thread)).signal, Signal::SIGINT);
}

#[test]
fn ignored_signals_are_dropped_unless_blocked() {
    let (mut process, mut thread) = setup();
    assert_eq!(
        process.send_to_thread(&mut thread, Signal::SIGWINCH, info(Signal::SIGWINCH)),
        Ok(false)
    );
    assert!(thread.pending.members().is_empty());
    thread.mask.insert(Signal::SIGWINCH);
    process
        .send_to_thread(&mut thread, Signal::SIGWINCH, info(Signal::SIGWINCH))
        .unwrap();
    assert!(thread.pending.members().contains(Signal::SIGWINCH));
    handled(&mut process, Signal::SIGWINCH, 0, SignalSet::EMPTY);
    thread.mask = SignalSet::EMPTY;
    assert_eq!(
        call(process.next_step(&mut thread)).signal,
        Signal::SIGWINCH
    );
}

#[test]
fn one_shot_and_nodefer() {
    let (mut process, mut thread) = setup();
    handled(
        &mut process,
        Signal::SIGUSR1,
        raw::SA_RESETHAND | raw::SA_NODEFER,
        SignalSet::EMPTY,
    );
    process
        .send_to_thread(&mut thread, Signal::SIGUSR1, info(Signal::SIGUSR1))
        .unwrap();
    call(process.next_step(&mut thread));
    assert_eq!(thread.mask, SignalSet::EMPTY);
    process
        .send_to_thread(&mut thread, Signal::SIGUSR1, info(Signal::SIGUSR1))
        .unwrap();
    assert!(matches!(
        process.next_step(&mut thread),
        Step::End(Signal::SIGUSR1, _, DefaultAction::Terminate)
    ));
}

#[test]
fn a_wait_under_its_own_mask_goes_back_to_the_old_one() {
    let (mut process, mut thread) = setup();
    handled(&mut process, Signal::SIGALRM, 0, SignalSet::EMPTY);
    handled(&mut process, Signal::SIGUSR1, 0, SignalSet::EMPTY);
    // As sigsuspend does: old mask blocks both, the wait lets SIGALRM through.
    let old = SignalSet::of(&[Signal::SIGALRM]);
    thread.saved_mask = Some(old);
    thread.mask = SignalSet::of(&[Signal::SIGUSR1]);
    process
        .send_to_thread(&mut thread, Signal::SIGALRM, info(Signal::SIGALRM))
        .unwrap();
    process
        .send_to_thread(&mut thread, Signal::SIGUSR1, info(Signal::SIGUSR1))
        .unwrap();
    let delivery = call(process.next_step(&mut thread));
    assert_eq!((delivery.signal, delivery.restore), (Signal::SIGALRM, old));
    thread.set_mask(delivery.restore);
    assert_eq!(
        call(process.next_step(&mut thread)).signal,
        Signal::SIGUSR1,
        "the old mask let it through"
    );
}

#[test]
fn without_a_handler_the_saved_mask_comes_back_at_once() {
    let (mut process, mut thread) = setup();
    thread.saved_mask = Some(SignalSet::of(&[Signal::SIGINT]));
    assert!(matches!(process.next_step(&mut thread), Step::GoOn));
    assert_eq!(thread.mask, SignalSet::of(&[Signal::SIGINT]));
}

#[test]
fn a_thread_takes_its_own_signals_before_those_of_the_process() {
    let (mut process, mut thread) = setup();
    handled(
        &mut process,
        Signal::SIGUSR1,
        raw::SA_RESTART,
        SignalSet::EMPTY,
    );
    handled(&mut process, Signal::SIGHUP, 0, SignalSet::EMPTY);
    assert_eq!(
        process.send(&thread, Signal::SIGHUP, info(Signal::SIGHUP)),
        Ok(true)
    );
    process
        .send_to_thread(&mut thread, Signal::SIGUSR1, info(Signal::SIGUSR1))
        .unwrap();
    assert!(
        matches!(process.first_effect(&thread), Some(Disposition::Handle(handler)) if handler.restarts_calls)
    );
    assert_eq!(call(process.next_step(&mut thread)).signal, Signal::SIGUSR1);
    assert_eq!(call(process.next_step(&mut thread)).signal, Signal::SIGHUP);
    assert!(process.first_effect(&thread).is_none());
}

#[test]
fn a_forced_signal_is_not_stopped_by_mask_or_ignore() {
    let (mut process, mut thread) = setup();
    handled(&mut process, Signal::SIGSEGV, 0, SignalSet::EMPTY);
    thread.mask.insert(Signal::SIGSEGV);
    process.force(
        &mut thread,
        Signal::SIGSEGV,
        SignalInfo::from_fault(Signal::SIGSEGV, 1, 0x10),
    );
    let Step::End(Signal::SIGSEGV, info, DefaultAction::Core) = process.next_step(&mut thread)
    else {
        panic!("a blocked fault ends the process");
    };
    assert_eq!(info.address(), 0x10);
}

#[test]
fn sigtimedwait_takes_what_is_blocked() {
    let (mut process, mut thread) = setup();
    let set = SignalSet::of(&[Signal::SIGUSR1, Signal::SIGCHLD]);
    thread.mask = set;
    thread.awaited = set;
    assert_eq!(
        process.send(&thread, Signal::SIGCHLD, info(Signal::SIGCHLD)),
        Ok(true)
    );
    assert!(thread.accepts(Signal::SIGCHLD));
    assert!(matches!(
        process.take(&mut thread, set),
        Some((Signal::SIGCHLD, _))
    ));
    assert!(process.take(&mut thread, set).is_none());
}

#[test]
fn the_alternate_stack_is_used_once() {
    let stack = AlternateStack {
        base: 0x1000,
        len: 0x1000,
        is_auto_disarmed: false,
    };
    assert_eq!(stack.top_for(0x9000), Some(0x2000));
    assert_eq!(stack.top_for(0x1800), None);
    assert!(stack.contains(0x2000) && !stack.contains(0x1000));
    assert_eq!(AlternateStack::NONE.top_for(0x9000), None);
}
