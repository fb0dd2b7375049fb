//! The queue under every interleaving that proptest thinks of.

use proptest::prelude::*;

use super::ledger::{Op, Run, STEP};
use super::*;

fn op() -> impl Strategy<Value = Op> {
    let reason = prop_oneof![Just(Reason::Requested), Just(Reason::Deadline)];
    let fault = prop_oneof![Just(Fault::Stall), Just(Fault::Overrun), Just(Fault::Io)];
    prop_oneof![
        8 => (0..3u8, 0..20usize, any::<bool>())
            .prop_map(|(session, bytes, empty_packet)| Op::Push { session, bytes, empty_packet }),
        10 => Just(Op::Next),
        1 => (1..=STEP).prop_map(|max_transfer| Op::NoRoom { max_transfer }),
        1 => Just(Op::Refuse),
        8 => (any::<usize>(), 0..=STEP, any::<bool>())
            .prop_map(|(pick, bytes, short)| Op::Complete { pick, bytes, short }),
        4 => (any::<usize>(), 0..=STEP).prop_map(|(pick, bytes)| Op::GiveBack { pick, bytes }),
        1 => (any::<usize>(), fault).prop_map(|(pick, fault)| Op::Break { pick, fault }),
        3 => (any::<usize>(), reason).prop_map(|(pick, reason)| Op::CancelOne { pick, reason }),
        1 => (0..3u8).prop_map(|session| Op::CancelSession { session }),
        2 => any::<usize>().prop_map(|pick| Op::Expire { pick }),
        1 => Just(Op::CancelAll),
        1 => Just(Op::Hold),
        2 => Just(Op::Release),
        1 => Just(Op::Thaw),
        1 => Just(Op::Lose),
        1 => Just(Op::HostStuck),
        4 => Just(Op::Pop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_answers_every_request_once_and_by_the_rules(
        depth in 1..=4usize,
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut run = Run::new(depth);
        let mut losses = 0;
        for op in ops {
            // One in four of the runs that would lose the device or the host does, so that the others go on.
            if matches!(op, Op::Lose | Op::HostStuck) {
                losses += 1;
                if losses % 4 != 0 {
                    continue;
                }
            }
            run.step(op);
        }
        run.drain();
    }
}
