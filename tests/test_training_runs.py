"""Where a run goes on."""

from training.resume import finished_checkpoint


def test_a_run_goes_on_from_its_last_whole_checkpoint(tmp_path):
    assert finished_checkpoint(tmp_path) is None
    for step, state in ((2, "{}"), (10, "{}"), (12, '{"cut'), (14, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert finished_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
