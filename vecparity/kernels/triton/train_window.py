"""The `triton` engine's kernel: one program takes one run through a whole window on a GPU.

Matrix products run on the tensor cores with float32 accuracy: rows are 0s and 1s, exact in bfloat16, so splitting the
other factor into three bfloat16 terms (24 bits) makes every product exact. As in the `native` engine, the kernel stores
only the signs of the hidden layer. Since relu(h) = h where h > 0, and h is linear in W1 and b1, the gradients follow
from G[u, n] = sum over rows of dz * x_n where h_u > 0: dW1[u, n] = w2[u] G[u, n], and dw2[u] = sum over n of
W1[u, n] G[u, n] (the bias counts as one more feature that is always on).

A run's result depends on the run alone: programs share nothing.
"""

import triton
import triton.language as tl


@triton.jit
def _split(x, dot_type: tl.constexpr):
    """Splits x into three bfloat16 terms that add up to x, each converted to ``dot_type``."""
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
    return high.to(dot_type), middle.to(dot_type), low.to(dot_type)


@triton.jit
def _update(
    parameters, exp_avg, exp_avg_sq, at, mask, grad, decay, one_minus_beta1, beta2, one_minus_beta2, size, root, eps
):
    """Updates the parameters at offsets ``at`` by AdamW, with the roundings of adamw.py."""
    w = tl.load(parameters + at, mask=mask, other=0.0)
    m = tl.load(exp_avg + at, mask=mask, other=0.0)
    v = tl.load(exp_avg_sq + at, mask=mask, other=0.0)
    m = tl.fma(grad - m, one_minus_beta1, m)
    v = tl.fma(grad * one_minus_beta2, grad, v * beta2)
    w = w * decay - tl.div_rn(m * size, tl.div_rn(tl.sqrt_rn(v), root) + eps)
    tl.store(parameters + at, w, mask=mask)
    tl.store(exp_avg + at, m, mask=mask)
    tl.store(exp_avg_sq + at, v, mask=mask)


@triton.jit(do_not_specialize=["num_steps"])  # else windows of 1 step or of a multiple of 16 compile anew
def train_window(
    parameters,  # [run, param]: W1 [W, N], b1 [W], w2 [W], b2
    exp_avg,  # [run, param]
    exp_avg_sq,  # [run, param]
    active,  # [run]
    decay,  # [run]
    one_minus_beta1,  # [run]
    beta2,  # [run]
    one_minus_beta2,  # [run]
    step_size,  # [run, step]
    root_correction2,  # [run, step]
    first_row,  # [run]
    bits,  # [row, row_words], 32-bit words
    labels,  # [row]
    indices,  # [run, step, batch]
    lengths,  # [run, step]
    positive,  # [run, W, block_rows], scratch: where h > 0
    losses,  # [run], out
    accuracies,  # [run], out
    counts,  # [run], out
    num_steps,
    n_features: tl.constexpr,
    hidden_width: tl.constexpr,
    batch_size: tl.constexpr,
    row_words: tl.constexpr,
    block_features: tl.constexpr,
    block_rows: tl.constexpr,
    tile: tl.constexpr,
    eps: tl.constexpr,
    dot_type: tl.constexpr,
):
    run = tl.program_id(0).to(tl.int64)
    num_params: tl.constexpr = hidden_width * (n_features + 2) + 1
    parameters += run * num_params
    exp_avg += run * num_params
    exp_avg_sq += run * num_params
    positive += run * hidden_width * block_rows
    step_size += run * num_steps
    root_correction2 += run * num_steps
    lengths += run * num_steps
    indices += run * num_steps * batch_size
    start = tl.load(first_row + run).to(tl.int64)
    by_decay = tl.load(decay + run)
    by_one_minus_beta1 = tl.load(one_minus_beta1 + run)
    by_beta2 = tl.load(beta2 + run)
    by_one_minus_beta2 = tl.load(one_minus_beta2 + run)

    row = tl.arange(0, block_rows)
    feature = tl.arange(0, block_features)
    word = tl.arange(0, block_features // 32)
    bit = tl.arange(0, 32)
    is_feature = feature[None, :] < n_features
    loss_sum = tl.zeros((), dtype=tl.float64)
    accuracy_sum = tl.zeros((), dtype=tl.float64)
    step = 0
    going = tl.load(active + run).to(tl.int32)
    while (going != 0) & (step < num_steps):
        length = tl.load(lengths + step)
        is_row = row < length
        at = start + tl.load(indices + step * batch_size + row, mask=row < batch_size, other=0)
        y = tl.load(labels + at, mask=is_row, other=0).to(tl.float32)
        words = tl.load(
            bits + at[:, None] * row_words + word[None, :], mask=is_row[:, None] & (word[None, :] < row_words), other=0
        )
        x = tl.reshape((words[:, :, None] >> bit[None, None, :]) & 1, (block_rows, block_features)).to(dot_type)

        z = tl.zeros((block_rows,), dtype=tl.float32) + tl.load(parameters + num_params - 1)
        for first in range(0, hidden_width, tile):
            unit = first + tl.arange(0, tile)
            w1 = tl.load(parameters + unit[:, None] * n_features + feature[None, :], mask=is_feature, other=0.0)
            b1 = tl.load(parameters + hidden_width * n_features + unit)
            w2 = tl.load(parameters + hidden_width * (n_features + 1) + unit)
            high, middle, low = _split(w1, dot_type)
            h = tl.dot(low, tl.trans(x))
            h = tl.dot(middle, tl.trans(x), acc=h)
            h = tl.dot(high, tl.trans(x), acc=h) + b1[:, None]
            is_off = h <= 0  # false where h is NaN, which passes through
            tl.store(positive + unit[:, None] * block_rows + row[None, :], (is_off == 0).to(tl.int8))
            z += tl.sum(tl.where(is_off, 0.0, h) * w2[:, None], axis=0)

        p = tl.div_rn(1.0, 1.0 + tl.exp(-z.to(tl.float64)).to(tl.float32))
        q = 1.0 - p
        log_likelihood = tl.log(tl.where(y >= 0.5, p, q).to(tl.float64)).to(tl.float32)
        log_likelihood = tl.where(log_likelihood < -100.0, -100.0, log_likelihood)
        count = length.to(tl.float32)
        loss = -tl.sum(tl.where(is_row, log_likelihood, 0.0)) / count
        if loss * 0.0 == 0.0:
            # On probabilities, as in contract section 4: a saturated p passes no gradient.
            slope = p * q
            dz = tl.where(is_row, (p - y) * tl.where(slope < 1e-12, slope * 1e12, 1.0) / count, 0.0)
            high, middle, low = _split(dz, dot_type)
            size = tl.load(step_size + step)
            root = tl.load(root_correction2 + step)
            tl.debug_barrier()  # wait until other threads have stored `positive`
            for first in range(0, hidden_width, tile):
                unit = first + tl.arange(0, tile)
                is_on = tl.load(positive + unit[:, None] * block_rows + row[None, :]) != 0
                zero = tl.zeros((tile, block_rows), dtype=dot_type)
                g = tl.dot(tl.where(is_on, low[None, :], zero), x)
                g = tl.dot(tl.where(is_on, middle[None, :], zero), x, acc=g)
                g = tl.dot(tl.where(is_on, high[None, :], zero), x, acc=g)
                g_bias = tl.sum(tl.where(is_on, dz[None, :], 0.0), axis=1)
                at_w1 = unit[:, None] * n_features + feature[None, :]
                at_b1 = hidden_width * n_features + unit
                at_w2 = hidden_width * (n_features + 1) + unit
                w1 = tl.load(parameters + at_w1, mask=is_feature, other=0.0)
                b1 = tl.load(parameters + at_b1)
                w2 = tl.load(parameters + at_w2)
                grad_w2 = tl.sum(w1 * g, axis=1) + b1 * g_bias
                _update(
                    parameters, exp_avg, exp_avg_sq, at_w1, is_feature, w2[:, None] * g,
                    by_decay, by_one_minus_beta1, by_beta2, by_one_minus_beta2, size, root, eps,
                )  # fmt: skip
                _update(
                    parameters, exp_avg, exp_avg_sq, at_b1, unit < hidden_width, w2 * g_bias,
                    by_decay, by_one_minus_beta1, by_beta2, by_one_minus_beta2, size, root, eps,
                )  # fmt: skip
                _update(
                    parameters, exp_avg, exp_avg_sq, at_w2, unit < hidden_width, grad_w2,
                    by_decay, by_one_minus_beta1, by_beta2, by_one_minus_beta2, size, root, eps,
                )  # fmt: skip
            last = num_params - 1 + tl.arange(0, 1)
            _update(
                parameters, exp_avg, exp_avg_sq, last, last < num_params, tl.sum(dz) + tl.zeros((1,), dtype=tl.float32),
                by_decay, by_one_minus_beta1, by_beta2, by_one_minus_beta2, size, root, eps,
            )  # fmt: skip
            is_right = is_row & ((p >= 0.5) == (y >= 0.5))
            loss_sum += loss.to(tl.float64)
            accuracy_sum += (tl.sum(is_right.to(tl.float32)) / count).to(tl.float64)
            step += 1
            tl.debug_barrier()  # the next step reads parameters that other threads have stored
        else:
            going = 0
    tl.store(losses + run, loss_sum)
    tl.store(accuracies + run, accuracy_sum)
    tl.store(counts + run, step)
    tl.store(active + run, going)
