//! The token backend, in process: its operations against software, the attributes of every object it makes,
//! bounds, refusals and ceremonies. Each test gets a SoftHSM token of its own and runs in a process of its own,
//! since a module reads its environment once.

#![allow(clippy::print_stdout)] // counts for whoever reads the log

mod lmks;
mod made;
mod operations;
mod signing;
mod simulator;
mod support;

use tests::softhsm::TempToken;

macro_rules! each_on_its_own_token {
    ($($name:ident in $file:ident),* $(,)?) => {
        $(#[test] fn $name() {
            if let Some(token) = TempToken::new() {
                token.run_inside(concat!("inside::", stringify!($name)));
            }
        })*
        mod inside {
            $(#[test]
            #[ignore = "started by the test of the same name, with a token"]
            fn $name() {
                // Asked for by hand, without one, there is nothing to look at.
                if tests::softhsm::has_inner_token() {
                    super::$file::$name();
                }
            })*
        }
    };
}

each_on_its_own_token! {
    operations_are_those_of_the_software_ciphers in operations,
    tokens_of_keys_are_those_of_the_simulator in simulator,
    every_command_answers_as_on_the_simulator in simulator,
    no_object_has_attributes_that_conflict in made,
    session_objects_are_bounded_and_go_with_their_keys in made,
    a_wrong_pin_is_tried_twice_at_most in lmks,
    without_des_its_keys_answer_47 in simulator,
    without_cmac_a_ceremony_and_blocks_work in simulator,
    an_lmk_is_made_inside_and_only_once in lmks,
    what_a_cut_ceremony_left_is_refused_and_cleared in lmks,
    an_lmk_with_attributes_of_others_is_refused in lmks,
    keys_of_user_storage_may_live_on_the_token in made,
    backends_share_a_login_side_by_side in operations,
    a_signing_key_is_made_in_two_steps_and_found_by_its_public_half in signing,
    what_was_made_and_not_kept_goes_with_its_session in signing,
    what_there_is_of_a_signing_key_is_destroyed in signing,
}
