"""Faults in the Reformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import OPERATIONS, Mutant

MUTANTS = [
    Mutant(
        "divided by sqrt(E) too",
        ".transpose(-1, -2)).to(wide_dtype(q))",
        ".transpose(-1, -2)).to(wide_dtype(q)) / q.shape[-1] ** 0.5",
    ),
    Mutant("keys of any length", "_looking_back(unit(queries).to(q.dtype))", "_looking_back(queries)"),
    Mutant("rounds averaged", ".gather(3, place).softmax(dim=2)", ".gather(3, place).mul(0).softmax(dim=2)"),
    Mutant("keys of several rounds counted as often", "bias.log_().neg_()", "bias.clamp_(max=1).log_().neg_()"),
    Mutant(
        "first chunk looks back at the last",
        "numbers = chunk if self.across_buckets else bucket * (chunks + 1) + chunk",
        "numbers = (chunk if self.across_buckets else bucket * chunks + chunk) % chunks",
    ),
    Mutant("looks ahead by a chunk", "chunks.roll(1, dims=3)", "chunks.roll(-1, dims=3)"),
    Mutant("pads unmasked", " & keys[-1].bool()", ""),
    Mutant("pads among the buckets", "return bucket.masked_fill(~keep[:, None, None], 2 * columns)", "return bucket"),
    Mutant("sees itself as any other", "_SELF = 1e5", "_SELF = 0.0"),
    Mutant("never sees itself", "own.fill_(-_SELF)", "own.fill_(-math.inf)"),
    Mutant("other buckets seen", "numbers = chunk if self.across_buckets else", "numbers = chunk if True else"),
    Mutant(
        "not sorted",
        "order = bucket.argsort(dim=-1, stable=True)",
        "order = bucket.mul(0).argsort(dim=-1, stable=True)",
    ),
    Mutant(
        "results left in sorted order",
        "found = found.gather(3, place[..., None]",
        "found = found.gather(3, order[..., None]",
    ),
    Mutant("buckets follow padding", "if self.num_buckets is None:\n            used", "if False:\n            used"),
    Mutant("hash of half the directions", " + columns * (turned.gather(-1, column) < 0)", ""),
    Mutant(
        "same rotation in all rounds",
        "self.rotations[..., :columns]",
        "self.rotations[:1, ..., :columns].expand(self.num_hashes, -1, -1, -1)",
    ),
    Mutant(
        "same rotation in all heads",
        "self.rotations[..., :columns]",
        "self.rotations[:, :1, :, :columns].expand(-1, q.shape[1], -1, -1)",
    ),
    Mutant("steps draw the same", "self.generator(step=step)", "self.generator()"),
    Mutant("global generator", "generator=self.generator(step=step)", "generator=torch.manual_seed(step)"),
    Mutant("wide softmax lost", ".transpose(-1, -2)).to(wide_dtype(q))", ".transpose(-1, -2)).float()"),
    Mutant("sum without its gradient", "(logits.gather(-1, most)", "(logits.detach().gather(-1, most)"),
    Mutant("maximum for the sum", " - weights.gather(-1, most).log()", ""),
    Mutant("two chunks back", "bitwise_right_shift_(1)", "bitwise_right_shift_(2)"),
    Mutant("zero queries explode", "_EPSILON = 1e-6", "_EPSILON = 1e-30", OPERATIONS),
]
