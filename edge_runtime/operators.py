"""The operators that a graph may hold, and those left out on purpose, each with its reason.

Listed: the standard operators of onnx 1.23, all of ai.onnx.ml, and of com.microsoft those that onnxruntime's quantizer
and skl2onnx write. A bundle must answer alike on every machine, come to an end, and touch nothing but its tensors. So
left out are: what may never end, what draws random numbers (golden rows cannot replay it), what trains, what decodes
files, and lists that grow. onnxruntime's own fused operators are out too: they belong to one machine's optimised graph.

Belongs here: names and reasons. Not here: finding them in a graph (graph_scan.py).
Imported as edge_runtime.operators. A test holds both lists against onnx.defs: a new standard operator is a decision.
"""

from __future__ import annotations

__all__ = ["LEFT_OUT", "OPERATORS"]

_STANDARD = """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
    BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike CausalConvWithState
    Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger
    ConvTranspose Cos Cosh CumProd CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout
    DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND
    Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
    HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax LpNormalization LpPool MatMul
    MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul
    Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
    RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize ReverseSequence RoiAlign
    RotaryEmbedding Round STFT Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceLength
    Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt
    Squeeze StringConcat StringNormalizer StringSplit Sub Sum SwiGLU Swish Tan Tanh TensorScatter TfIdfVectorizer
    ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
"""
_MACHINE_LEARNING = """
    ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder
    LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
    TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
"""
# onnxruntime.quantization writes all of these but the last two, which skl2onnx writes (nearest neighbours, text).
_QUANTIZED = """
    DequantizeLinear DynamicQuantizeLSTM GatherBlockQuantized MatMulBnb4 MatMulNBits QAttention
    QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool
    QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear
    CDist Tokenizer
"""

OPERATORS: dict[str, frozenset[str]] = {
    "": frozenset(_STANDARD.split()),
    "ai.onnx.ml": frozenset(_MACHINE_LEARNING.split()),
    "com.microsoft": frozenset(_QUANTIZED.split()),
}
"""By domain; "" stands for ai.onnx."""

_REASONS = {
    "it may never end": {"": "Loop"},
    "it repeats a subgraph; skl2onnx writes CDist in its place with options={'optim': 'cdist'}": {"": "Scan"},
    "it repeats a subgraph for a list": {"": "SequenceMap"},
    "it draws random numbers, which no golden row can replay": {
        "": "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike"
    },
    "it is for training": {
        "": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
        "ai.onnx.preview.training": "Adagrad Adam Gradient Momentum",
    },
    "it decodes image files": {"": "ImageDecoder"},
    "lists grow in loops only": {"": "SequenceEmpty SequenceErase SequenceInsert"},
    "optional values have no place in a schema": {"": "Optional OptionalGetElement OptionalHasElement"},
    "it is a preview that may change": {"ai.onnx.preview": "FlexAttention"},
    "it holds one machine's compiled code or names its file": {"com.microsoft": "EPContext"},
}
LEFT_OUT: dict[tuple[str, str], str] = {
    (domain, name): reason
    for reason, domains in _REASONS.items()
    for domain, names in domains.items()
    for name in names.split()
}
"""(domain, operator) -> why it is not listed, as the end of a sentence."""
