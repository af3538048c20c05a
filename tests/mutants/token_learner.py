"""Faults in TokenLearner, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("padding in the softmax", "softmax_weights(logits, keep[:, None])", "softmax_weights(logits, None)"),
    Mutant(
        "padding in the sigmoid", ".masked_fill(~keep[:, None], 0.0)\n        return gates", "\n        return gates"
    ),
    Mutant(
        "a softmax over maps",
        "softmax_weights(logits, keep[:, None])",
        "softmax_weights(logits.transpose(1, 2), keep[..., None]).transpose(1, 2)",
    ),
    Mutant("a sum of gates", "return gates / keep.sum(dim=1).clamp(min=1)[:, None, None]", "return gates"),
    Mutant("a mean over padding too", "keep.sum(dim=1).clamp(min=1)[:, None, None]", "keep.shape[1]"),
    Mutant("no clamp for padding alone", "keep.sum(dim=1).clamp(min=1)", "keep.sum(dim=1)"),
    Mutant(
        "maps of the input without norm",
        "self._weights(normed[:, self.front :], kept)",
        "self._weights(x[:, self.front :], kept)",
    ),
    Mutant(
        "tokens of the normed input",
        "return self._tokens(x, normed, all_kept(x, keep))",
        "return self._tokens(normed, normed, all_kept(x, keep))",
    ),
    Mutant(
        "sums in bfloat16",
        "with torch.autocast(x.device.type, enabled=False):",
        "with torch.autocast(x.device.type, enabled=torch.is_autocast_enabled(x.device.type)):",
    ),
    Mutant("learned tokens of nothing count", "kept.any(dim=1, keepdim=True)", "torch.ones_like(kept[:, :1])"),
    Mutant(
        "CLS is learned from",
        "rest, kept = x[:, self.front :], keep[:, self.front :]",
        "rest, kept = x[:, self.front :], keep[:, self.front :] & (torch.arange(x.shape[1] - self.front) != 0)",
    ),
    Mutant("CLS is not kept apart", "int(separate_cls)", "0"),
    Mutant(
        "CLS gets the norm too",
        "torch.cat([first, learned.to(first.dtype)], dim=1)",
        "torch.cat([self.token_norm(first), learned.to(first.dtype)], dim=1)",
    ),
    Mutant("no norm of tokens", "self.token_norm(tokens[:, self.front :])", "tokens[:, self.front :]"),
    Mutant(
        "masked keys are seen",
        "key_mask(kept), dropout=self.attention_dropout)\n        return self._fused",
        "None, dropout=self.attention_dropout)\n        return self._fused",
    ),
    Mutant("padding is a key before", "return attend(q, k, v, key_mask(keep)", "return attend(q, k, v, None"),
    Mutant("gates by a softmax", "torch.sigmoid(self.to_gates(x))", "torch.softmax(self.to_gates(x), dim=-1)"),
    Mutant("tokens are not mixed", "(self.mixing.to(mixed.dtype) @ mixed)", "(mixed + 0 * self.mixing.sum())"),
    Mutant("mixed by the transpose", "self.mixing.to(mixed.dtype) @", "self.mixing.T.to(mixed.dtype) @"),
    Mutant(
        "maps are not trained", "self.to_maps(normed).transpose(1, 2)", "self.to_maps(normed).detach().transpose(1, 2)"
    ),
    Mutant("a bias that cannot learn", 'bias=maps == "sigmoid"', "bias=True"),
    Mutant("each layer learns", "shape.layer == at_layer", "shape.layer >= at_layer"),
    Mutant("learned at the end", "shape.num_layers // 2 if", "shape.num_layers - 1 if"),
    Mutant("more tokens than positions", "min(num_tokens, shape.max_length - self.front)", "num_tokens"),
    Mutant("another GELU", 'nn.GELU(approximate="tanh")', "nn.GELU()"),
    Mutant("each layer begins alike", "num_tokens, self.generator())", "num_tokens, torch.Generator().manual_seed(0))"),
    Mutant("no dropout among tokens", "key_mask(kept), dropout=self.attention_dropout", "key_mask(kept), dropout=0.0"),
    Mutant("no dropout before", "key_mask(keep), dropout=self.attention_dropout", "key_mask(keep), dropout=0.0"),
    Mutant(
        "dropout in evaluation",
        "key_mask(kept), dropout=self.attention_dropout",
        "key_mask(kept), dropout=self.shape.dropout",
    ),
]
