// Takes runs through a window of steps. Clusters of blocks draw pieces of the window from a queue, and train one run
// through one piece while its state stays on the chip. See README.md.
#include "backward.cuh"
#include "batch.cuh"
#include "state.cuh"

namespace vecparity {

// The arguments shared by all blocks of a launch; arrays have the run axis first.
struct Arguments {
    State state;
    unsigned char* active;
    const float *decay, *one_minus_beta1, *beta2, *one_minus_beta2;  // [run]
    const float *step_size, *inverse_root_correction2;               // [run, step]
    const long long* first_row;
    const unsigned long long *used, *bits;
    const unsigned char* labels;
    const int *indices, *lengths;
    double *loss, *accuracy;
    long long* num_batches;
    int* next_ticket;   // 0 at first
    int* pieces_done;   // [run] 0 at first
    int num_runs, num_steps, steps_in_piece;
};

// Takes the run through steps first_step to end_step - 1; returns false if its loss became infinite or NaN.
DEVICE bool train_piece(const Arguments& arguments, Shared& shared, const Thread& thread, int run, int first_step,
                        int end_step) {
    const State state = arguments.state.of_run(run);
    Tile tiles[kTiles];
    UNROLL
    for (int tile = 0; tile < kTiles; ++tile) load_tile(tiles[tile], shared, state, thread, tile);
    Param b2 = state.load(kB2);

    const long long first_row = arguments.first_row[run];
    const long long first_batch = static_cast<long long>(run) * arguments.num_steps;
    const Rows rows = {arguments.bits + first_row * kRowWords, arguments.labels + first_row,
                       arguments.indices + first_batch * BATCH_SIZE, arguments.lengths + first_batch, end_step};
    const float *step_size = arguments.step_size + first_batch,
                *inverse_root_correction2 = arguments.inverse_root_correction2 + first_batch;
    Coefficients by = {arguments.decay[run], arguments.one_minus_beta1[run], arguments.beta2[run],
                       arguments.one_minus_beta2[run], 0, 0};
    BatchReader reader(rows, thread, first_step);
    bool is_active = true;
    int step = first_step;
    for (; step < end_step; ++step) {
        const int length = rows.lengths[step];
        by.step_size = step_size[step];
        by.inverse_root_correction2 = inverse_root_correction2[step];
        reader.expand(shared, length);
        const int label = reader.label();
        block_barrier();  // the rows are written
        reader.fetch(step + 1);

        Positive positive[kTiles];
        forward(tiles, shared, thread, positive);
        block_barrier();  // every warp's z is written
        const float z = gather_z(shared, thread, step % 2) + b2.value;
        find_errors(shared, thread, z, label, length);
        block_barrier();  // every row's error is written
        const unsigned largest = largest_error(shared);
        is_active = is_finite(largest);
        if (!is_active) break;
        const Scale scale(largest, 13);
        const float share = 1.0f / static_cast<float>(length);
        split_errors(shared, thread, scale.factor);
        sum_errors(shared, thread);
        block_barrier();  // the terms of every error are written

        Gradients gradients[kTiles];
        multiply_errors(shared, thread, positive, gradients);
        UNROLL
        for (int tile = 0; tile < kTiles; ++tile)
            update_tile(tiles[tile], gradients[tile], shared, thread, tile, scale.inverse * share, by);
        by.update(b2.value, b2.exp_avg, b2.exp_avg_sq, shared.error_sum * share);
        if (thread.index == 0) add_metrics(shared, length);
        block_barrier();  // no thread reads this batch any more
    }

    UNROLL
    for (int tile = 0; tile < kTiles; ++tile) store_tile(tiles[tile], shared, state, thread, tile);
    decay_others(state, shared.features, thread, by.decay, step - first_step);
    if (thread.block == 0 && thread.index == 0) state.store(kB2, b2);
    return is_active;
}

// Draws a ticket for the whole cluster.
DEVICE int draw(const Arguments& arguments, Shared& shared, const Thread& thread) {
    if (thread.block == 0 && thread.index == 0) {
        const int ticket = take_ticket(arguments.next_ticket);
        if constexpr (kBlocks > 1) {
            UNROLL
            for (int block = 0; block < kBlocks; ++block)
                store_to_block(block, shared_address(&shared.ticket), static_cast<unsigned>(ticket));
        } else {
            shared.ticket = ticket;
        }
    }
    run_barrier();
    return shared.ticket;
}

// All runs' first pieces come before any second piece. A cluster waits until the run's previous piece is done. That
// piece was drawn earlier, so it is done or belongs to a running cluster: some cluster can always proceed.
DEVICE void train_runs(const Arguments& arguments, Shared& shared) {
    const Thread thread;
    run_barrier();  // every block has begun, so others may write to its shared memory
    const int num_pieces = (arguments.num_steps + arguments.steps_in_piece - 1) / arguments.steps_in_piece;
    for (;;) {
        const int ticket = draw(arguments, shared, thread);
        if (ticket >= num_pieces * arguments.num_runs) return;
        const int run = ticket % arguments.num_runs, piece = ticket / arguments.num_runs;
        find_features(arguments.used + static_cast<long long>(run) * kRowWords, shared.features, thread);
        if (thread.index == 0)
            while (load_acquire(arguments.pieces_done + run) < piece) pause();
        block_barrier();  // the previous piece is stored, and the features are found

        const bool is_writer = thread.block == 0 && thread.index == 0;
        if (is_writer) shared.metrics = {0, 0, 0};
        if (is_writer && piece > 0)
            shared.metrics = {load_shared_state(arguments.loss + run), load_shared_state(arguments.accuracy + run),
                              load_shared_state(arguments.num_batches + run)};
        const int first_step = piece * arguments.steps_in_piece;
        const int end_step = first_step + arguments.steps_in_piece < arguments.num_steps
                                 ? first_step + arguments.steps_in_piece
                                 : arguments.num_steps;
        bool is_active = load_shared_state(arguments.active + run);
        if (is_active) is_active = train_piece(arguments, shared, thread, run, first_step, end_step);
        publish();
        run_barrier();  // everything is stored, and no block writes to another's shared memory any more
        if (is_writer) {
            arguments.loss[run] = shared.metrics.loss;
            arguments.accuracy[run] = shared.metrics.accuracy;
            arguments.num_batches[run] = shared.metrics.num_batches;
            arguments.active[run] = is_active;
            store_release(arguments.pieces_done + run, piece + 1);
        }
    }
}

}  // namespace vecparity

KERNEL(vecparity::kThreads)
train_window(float* params, float* exp_avg, float* exp_avg_sq, unsigned char* active, const float* decay,
             const float* one_minus_beta1, const float* beta2, const float* one_minus_beta2, const float* step_size,
             const float* inverse_root_correction2, const long long* first_row, const unsigned long long* used,
             const unsigned long long* bits,
             const unsigned char* labels, const int* indices, const int* lengths, double* loss, double* accuracy,
             long long* num_batches, int* next_ticket, int* pieces_done, long long num_runs, long long num_steps,
             long long steps_in_piece) {
    using namespace vecparity;
    const Arguments arguments = {{params, exp_avg, exp_avg_sq},
                                 active,
                                 decay,
                                 one_minus_beta1,
                                 beta2,
                                 one_minus_beta2,
                                 step_size,
                                 inverse_root_correction2,
                                 first_row,
                                 used,
                                 bits,
                                 labels,
                                 indices,
                                 lengths,
                                 loss,
                                 accuracy,
                                 num_batches,
                                 next_ticket,
                                 pieces_done,
                                 static_cast<int>(num_runs),
                                 static_cast<int>(num_steps),
                                 static_cast<int>(steps_in_piece)};
    train_runs(arguments, shared_memory<Shared>());
}
