"""Faults in Linformer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, OPERATIONS, Mutant

MUTANTS = [
    Mutant("pads unmasked", "k, v = k.masked_fill(padding, 0.0), v.masked_fill(padding, 0.0)", "pass"),
    Mutant("padded values unmasked", ", v.masked_fill(padding, 0.0)", ", v"),
    Mutant("mask of another example", "~keep[:, None, :, None]", "~keep.flip(0)[:, None, :, None]"),
    Mutant("last columns for a short input", "matrix[:, :, : x.shape[2]]", "matrix[:, :, -x.shape[2] :]"),
    Mutant("F is E", "_projected_length(self._values(), v)", "_projected_length(self.project_keys, v)"),
    Mutant(
        "E is not trained",
        "self.project_keys = nn.Parameter(xavier_matrices(count, k, shape.max_length, generator))",
        "self.project_keys = nn.Parameter(xavier_matrices(count, k, shape.max_length, generator), requires_grad=False)",
    ),
    Mutant(
        "E is no parameter",
        "self.project_keys = nn.Parameter(xavier_matrices(count, k, shape.max_length, generator))",
        "self.project_keys = xavier_matrices(count, k, shape.max_length, generator)",
    ),
    Mutant(
        "E is cast at use and detached",
        "        slots = _projected_length(self.project_keys, k)",
        "        slots = _projected_length(self.project_keys.detach(), k)",
    ),
    Mutant(
        "heads in reverse",
        "zip(columns.unbind(1), matrix, strict=True)",
        "zip(columns.unbind(1), matrix.flip(0), strict=True)",
    ),
    Mutant("the first head's matrix for all", "if len(matrix) == 1:", "if True:"),
    Mutant("wrong scale", "return attend(q, *slots, None,", "return attend(q / 8**0.5, *slots, None,"),
    Mutant("wrong scale in the dense form", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("too many projections", 'shape.heads if sharing == "none" else 1', "shape.heads"),
    Mutant("small at first", "nn.init.xavier_uniform_(matrix, ", "nn.init.normal_(matrix, std=0.02, ", OPERATIONS),
    Mutant("each layer begins alike", "generator = self.generator()", "generator = torch.Generator().manual_seed(0)"),
    Mutant(
        "one projection for all models",
        "self.project_keys = nn.Parameter(xavier_matrices(count, k, shape.max_length, generator))",
        "self.project_keys = vars(xavier_matrices).setdefault("
        "str(k), nn.Parameter(xavier_matrices(count, k, shape.max_length, generator)))",
    ),
    Mutant("no dropout", "dropout=self.attention_dropout", "dropout=0.0"),
    Mutant("dropout in evaluation", "dropout=self.attention_dropout", "dropout=self.shape.dropout"),
]
